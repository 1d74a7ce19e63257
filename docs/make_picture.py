"""Make `docs/dashboard.png`: a real run of the demo, photographed by a headless Chromium while it goes on.

    python docs/make_picture.py [--seconds 60] [--prefix cartpole_seed1]

Needs Chromium (`apt install chromium`) and the project installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the demo (default: 60)")
    parser.add_argument("--at", type=float, default=0.85, help="when the picture is taken, as a share (default: 0.85)")
    parser.add_argument("--prefix", default="cartpole_seed", help="session to photograph (default: one that learns)")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("dashboard.png"))
    arguments = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("no Chromium found; install it (apt install chromium)\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="av-picture-") as folder:
        base = Path(folder) / "demo"
        command = [sys.executable, "-m", "avaliacoes", "demo", "--base-path", str(base)]
        demo = subprocess.Popen([*command, "--seconds", str(arguments.seconds)])
        try:
            deadline = time.monotonic() + 60
            while not (pages := sorted(base.glob(f"dashboard_{arguments.prefix}*.html"))):
                if demo.poll() is not None or time.monotonic() > deadline:
                    sys.stderr.write("the demo made no dashboard\n")
                    return 1
                time.sleep(0.2)
            time.sleep(arguments.seconds * arguments.at)
            pages = sorted(base.glob(f"dashboard_{arguments.prefix}*.html"))
            photograph(browser, pages[0], arguments.output, Path(folder) / "profile")
        finally:
            demo.wait(arguments.seconds + 60)
    sys.stderr.write(f"{arguments.output}\n")
    return 0


def photograph(browser: str, page: Path, output: Path, profile: Path) -> None:
    """A picture of a page, as it is about four seconds after it was opened."""
    subprocess.run(
        [
            browser,
            *FLAGS,
            f"--user-data-dir={profile}",
            "--window-size=1400,1330",
            "--virtual-time-budget=4000",
            f"--screenshot={output}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


if __name__ == "__main__":
    sys.exit(main())
