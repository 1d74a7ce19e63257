"""What an open page costs the browser: 24 charts that overlay 4 runs, updated all the time by a real renderer.

The page of all runs is opened from disk in a headless Chromium whose window is tall enough that every chart is in sight, which is the worst
case. The renderer runs in this process and each run logs ten records a refresh. Long tasks are those of the browser's own observer, counted
from when the page has been painted once; it goes by the clock, so a second look, traced, tells the thread's own time of the tasks.
Heaps are read after a forced collection; updates come faster for it than once a second.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import Plan, Row, percentile
from benchmarks.page_tasks import own_times
from contract import places
from contract.lines import encode_line
from contract.names import file_name
from renderer import page
from renderer.live import folder
from renderer.loop import Renderer
from renderer.settings import Settings

RUNS: Final = 4
HISTORY: Final = 3_000
PER_REFRESH: Final = 10
TRAINING: Final = ("loss", "learning_rate", "policy_loss", "value_loss", "entropy", "explained_variance", "approx_kl", "clip_fraction",
                   *(f"aux_{name}" for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")))  # fmt: skip
CHARTS: Final = len(TRAINING) + 4  # gradient norm and zeros, reward and length
FLAGS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--window-size=1700,3400")  # fmt: skip


class Trainers:
    """Data files of `RUNS` sessions, as the collector writes them."""

    def __init__(self, base: Path) -> None:
        self.base, self.step, self.beats = base, 0, 0
        self.random = np.random.default_rng(1)
        for run in range(RUNS):
            self._write(run, "lifecycle", [{"event": "start", "host": "box", "pid": 1, "argv0": "train.py"}], [0], 0)

    def _write(self, run: int, category: str, records: list[dict[str, Any]], steps: list[int], seq: int) -> None:
        lines = [
            encode_line(f"{run:012x}", seq + i, time.time(), step, record)
            for i, (step, record) in enumerate(zip(steps, records, strict=True))
        ]
        with open(self.base / file_name(category, f"ppo_seed{run}"), "ab") as file:
            file.write(b"\n".join(lines) + b"\n")

    def log(self, records: int) -> None:
        steps = list(range(self.step, self.step + records))
        for run in range(RUNS):
            values = self.random.normal(1, 0.2, (records, len(TRAINING) + 4))
            self._write(run, "training", [dict(zip(TRAINING, map(float, row), strict=False)) for row in values], steps, self.step)  # fmt: skip
            self._write(run, "gradients", [{"grad_norm": float(row[-1]), "grad_zeros_ratio": float(abs(row[-2]) / 9)} for row in values], steps, self.step)  # fmt: skip
            self._write(run, "rewards", [{"episode_reward": float(row[-3]), "episode_length": float(row[-4])} for row in values], steps, self.step)  # fmt: skip
            self._write(run, "lifecycle", [{"event": "heartbeat"}], [self.step], self.beats + 1)
        self.beats += 1
        self.step += records


@contextmanager
def chromium(profile: str) -> Iterator[Any]:
    """A headless browser; raises `RuntimeError` where there is none."""
    try:
        from selenium import webdriver
    except ImportError as error:
        raise RuntimeError("selenium is not installed: pip install 'selenium>=4.20'") from error
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        raise RuntimeError("no Chromium with chromedriver: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


class Feeder(threading.Thread):
    """Logs and renders, each `every` seconds."""

    def __init__(self, trainers: Trainers, base: Path, every: float) -> None:
        super().__init__(daemon=True)
        self.trainers, self.every, self.rounds = trainers, every, 0
        self.renderer = Renderer(Settings(base, refresh_interval=every))
        self.ending = threading.Event()
        self.bytes: list[int] = []
        self.live = folder.session_dir(base, "ppo_seed0")
        self.renderer.step(time.time(), last=True)

    def run(self) -> None:
        while not self.ending.wait(self.every):
            self.trainers.log(PER_REFRESH)
            self.renderer.step(time.time())
            self.rounds += 1
            newest = sorted(self.live.glob("segment-*.js"), key=lambda path: path.stat().st_mtime)[-1:]
            self.bytes += [path.stat().st_size for path in newest]

    def close(self) -> None:
        self.ending.set()
        self.join(30)


_WATCH: Final = """
window.long = []; window.draws = [];
new PerformanceObserver((list) => { for (const e of list.getEntries()) long.push(e.duration); }).observe({ type: 'longtask' });
const draw = Charts.Chart.prototype.draw;
Charts.Chart.prototype.draw = function () { const at = performance.now(); draw.call(this); draws.push(performance.now() - at); };
"""


#: Draws a chart, and comes back when the frame that shows it has been made.
_DRAW: Final = """
const done = arguments[1];
[...Charts.inSight][arguments[0] % Charts.inSight.size].draw();
requestAnimationFrame(() => requestAnimationFrame(() => done()));
"""


def _heap(browser: Any) -> float:
    browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return float(browser.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]) / 1e6


def _own_time(browser: Any, drawings: int = 24) -> list[float]:
    """Milliseconds that the page's thread itself spends on drawing a chart and its frame, whatever else the machine does meanwhile."""
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return 1000 * sum(one["value"] for one in found if one["name"] == "TaskDuration")

    browser.execute_script("Charts.settings.ready = false")  # nothing else is drawn meanwhile
    time.sleep(2)
    times = []
    for i in range(drawings):
        before = spent()
        browser.execute_async_script(_DRAW, i)
        times.append(spent() - before)
    browser.execute_cdp_cmd("Performance.disable", {})
    return times


def _open(browser: Any, base: Path) -> None:
    browser.get(page.all_page_file(base).as_uri())
    deadline = time.monotonic() + 90
    ready = f"return document.querySelectorAll('.js-plotly-plot').length >= {CHARTS} && Charts.charts.get('panel/loss').figure.curves.length === {RUNS}"
    while not browser.execute_script(ready):
        if time.monotonic() > deadline:
            drawn = browser.execute_script("return document.querySelectorAll('.js-plotly-plot').length")
            raise RuntimeError(f"the page drew {drawn} charts, not {CHARTS}, in 90 s")
        time.sleep(0.2)
    time.sleep(2)
    browser.execute_script(_WATCH)


def _revision(browser: Any) -> int:
    return int(browser.execute_script("return Data.run('ppo_seed0').at"))


def measure(plan: Plan) -> list[Row]:
    seconds = plan.pick(15, 60, 120)
    updates = plan.pick(100, 500)
    with tempfile.TemporaryDirectory(prefix="av-page-") as place, chromium(f"{place}/profile") as browser:
        base = Path(place) / "data"
        places.prepare_base(base)
        trainers = Trainers(base)
        trainers.log(HISTORY)
        rows = _once_a_second(browser, base, trainers, seconds)
        return rows + _heap_over(browser, base, trainers, updates)


def _once_a_second(browser: Any, base: Path, trainers: Trainers, seconds: float) -> list[Row]:
    feeder = Feeder(trainers, base, 1.0)
    html = page.all_page_file(base).stat().st_size
    first = sum(p.stat().st_size for p in folder.session_dir(base, "ppo_seed0").glob("base-*.js"))
    feeder.start()
    try:
        _open(browser, base)
        begin = _revision(browser)
        time.sleep(seconds)
        long = browser.execute_script("return window.long")
        draws = browser.execute_script("return window.draws")
        seen = _revision(browser) - begin
        behind = browser.execute_script("return Data.run('ppo_seed0').manifest.last") - _revision(browser)
        tasks = own_times(browser, seconds / 2)
    finally:
        feeder.close()
    time.sleep(3)
    drawn = _own_time(browser)
    what = f"{CHARTS} charts of {RUNS} runs, once a second"
    return [
        Row(f"page: tasks over 50 ms, {what}", f"{len(long)} in {seconds:.0f} s (longest {max(long, default=0):.0f} ms)", target="none", reached=not long),
        Row(f"page: tasks over 50 ms of the thread's own time, {what}", f"{sum(own > 50 for own in tasks)} in {seconds / 2:.0f} s (longest {max(tasks):.0f} ms)", f"{len(tasks)} tasks, {sum(tasks) / seconds / 5:.0f} % of a processor", target="none", reached=max(tasks) <= 50),
        Row(f"page: one chart of {RUNS} runs drawn", f"{percentile(draws, 0.5):.1f} ms (99 %: {percentile(draws, 0.99):.1f} ms)", f"{len(draws)} drawings, by the clock"),
        Row(f"page: one chart of {RUNS} runs drawn, the thread's own time", f"{percentile(drawn, 0.5):.1f} ms (most: {max(drawn):.1f} ms)", f"{len(drawn)} drawings, each with its frame", target="under 50 ms", reached=max(drawn) < 50),
        Row("page: updates taken", f"{seen} of {seconds:.0f}", f"{behind} behind at the end"),
        Row("page: a refresh of one run", f"{percentile(feeder.bytes, 0.5) / 1e3:.1f} kB", f"{CHARTS} series, {PER_REFRESH} records each", target="kilobytes", reached=percentile(feeder.bytes, 0.5) < 64_000),
        Row("page: itself, without data and plotly", f"{html / 1e3:.0f} kB", f"base of one run: {first / 1e3:.0f} kB"),
    ]  # fmt: skip


def _heap_over(browser: Any, base: Path, trainers: Trainers, updates: int) -> list[Row]:
    feeder = Feeder(trainers, base, 0.25)
    feeder.start()
    try:
        _open(browser, base)
        begin, deadline = _revision(browser), time.monotonic() + updates * 2
        marks: list[tuple[int, float]] = []
        settle = updates // 10
        while (done := _revision(browser) - begin) < updates + settle and time.monotonic() < deadline:
            if done >= settle + len(marks) * updates / 5:
                marks.append((done, _heap(browser)))
            time.sleep(0.1)
        marks.append((_revision(browser) - begin, _heap(browser)))
    finally:
        feeder.close()
    (first, low), (last, high) = marks[0], marks[-1]
    between = ", ".join(f"{heap:.0f}" for _, heap in marks)
    return [
        Row(f"page: heap over {last - first} updates", f"{low:.1f} to {high:.1f} MB", f"on the way: {between} MB", f"{high / low:.2f}", target="flat (within 10 %)", reached=high < 1.1 * low)
    ]  # fmt: skip
