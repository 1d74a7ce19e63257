"""Make the pictures of the page in `docs/`: real runs of the demo, photographed by a headless Chromium while they go on.

    python docs/make_picture.py [--seconds 90] [--prefix cartpole_seed1]

    dashboard.png        the page of one run
    dashboard-dark.png   that of a run that does not learn, dark, brought to its gradient explosion
    compare.png          the page of all runs of the demo

Needs Chromium with its driver (`apt install chromium chromium-driver`), selenium, and the project installed.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--window-size=1440,1400",
)
DRAWN_S = 90.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90.0, help="length of the demo (default: 90)")
    parser.add_argument("--at", type=float, default=0.45, help="when pictures are taken, as a share (default: 0.45)")
    parser.add_argument("--prefix", default="cartpole_seed", help="session to photograph (default: one that learns)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None or shutil.which("chromedriver") is None:
        sys.stderr.write("no Chromium with chromedriver found; install them (apt install chromium chromium-driver)\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="av-picture-") as folder:
        base = Path(folder) / "demo"
        command = [sys.executable, "-m", "avaliacoes", "demo", "--base-path", str(base)]
        demo = subprocess.Popen([*command, "--seconds", str(arguments.seconds)])
        try:
            deadline = time.monotonic() + 60
            while not list(base.glob(f"dashboard_{arguments.prefix}*.html")) or not (base / "dashboard.html").exists():
                if demo.poll() is not None or time.monotonic() > deadline:
                    sys.stderr.write("the demo made no dashboard\n")
                    return 1
                time.sleep(0.2)
            time.sleep(arguments.seconds * arguments.at)
            one = min(base.glob(f"dashboard_{arguments.prefix}*.html"))
            browser = started(binary, Path(folder) / "profile")
            try:
                photograph(browser, one, arguments.output / "dashboard.png")
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})  # fmt: skip
                sick = min(base.glob("dashboard_*sabotaged*.html"), default=one)
                photograph(browser, sick, arguments.output / "dashboard-dark.png", press="#alert-list .ERROR .go")
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
                photograph(browser, base / "dashboard.html", arguments.output / "compare.png")
            finally:
                browser.quit()
        finally:
            demo.wait(arguments.seconds + 120)
    return 0


def started(binary: str, profile: Path) -> Any:
    """A headless browser."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def photograph(browser: Any, page: Path, output: Path, charts: int = 8, press: str = "") -> None:
    """A picture of a page once its charts are drawn, and once what `press` names has been pressed."""
    browser.get(page.as_uri())
    drawn(browser, charts)
    if press:
        browser.execute_script("const b = document.querySelector(arguments[0]); if (b) b.click();", press)
        time.sleep(1)
        drawn(browser, charts)
    output.write_bytes(base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]))
    sys.stderr.write(f"{output}\n")


def drawn(browser: Any, charts: int) -> None:
    """Wait until charts are there, and none in sight is behind."""
    ready = "return document.querySelectorAll('.js-plotly-plot').length >= arguments[0] && [...Charts.inSight].every((c) => !c.stale)"
    deadline = time.monotonic() + DRAWN_S
    while not browser.execute_script(ready, charts) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
