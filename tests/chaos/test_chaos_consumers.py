"""Analyzer and renderer are killed, frozen, started again: alerts come once, pages recover, the collector does not wait."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import settle
from chaos_processes import LONG, Child, Service, environment
from tally import Tally

from contract.tail import read_all

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

ALERTS = 400 if LONG else 80
#: A training with healthy records and, again and again, a gradient norm out of bounds in one more component.
SICK = """
import sys, time
from tally import CATEGORIES, Tally
from avaliacoes.real_time_logger import RealTimeLogger
base, path, alerts, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
tally = Tally(path)
logger = RealTimeLogger(base, session="sick", autostart=False)
print(logger.session, flush=True)
at, n = tally.index(0, "gradients"), 0
for alert in range(alerts):
    for k in range(20):
        tally.words[at] = n + 1
        norm = 5e4 if k == 19 else 0.5
        logger.log_gradient_info(n, n=n, slot=0, component=f"layer{alert}", grad_norm=norm)
        tally.words[at + 1] = n + 1
        n += 1
    time.sleep(seconds / alerts)
print("closed" if logger.close(60) else "left", flush=True)
"""


@pytest.fixture
def sick(place: Path, tally: Tally, children: list[Child]) -> Callable[[float], Child]:
    """`sick(seconds)`: a training that gives `ALERTS` alerts, spread over so many seconds."""

    def start(seconds: float) -> Child:
        children.append(child := Child(["-c", SICK, str(place), str(tally.path), str(ALERTS), str(seconds)]))
        assert child.line() == "sick"
        return child

    return start


@pytest.fixture
def service(place: Path, children: list[Child]) -> Callable[..., Service]:
    """`service(kind)`: a worker of analyzer or renderer."""

    def start(kind: str, **more: bool) -> Service:
        children.append(one := Service(kind, place, **more))
        return one

    return start


def _alerts(place: Path) -> list[dict[str, object]]:
    path = place / "alerts_sick.jsonl"
    return list(read_all(path))  # the last line may be half written while we look


def _expected(place: Path) -> set[str]:
    """The ids that the rules give for the finished session, read from its files by a process of its own."""
    code = (
        "import json, sys; from pathlib import Path; from analyzer.check import check_session;"
        "print(json.dumps([alert['id'] for alert in check_session(Path(sys.argv[1]), 'sick')]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], env=environment(), capture_output=True, check=True)
    return set(json.loads(done.stdout))


def _check_alerts(place: Path, until: Callable[..., bool]) -> None:
    expected = _expected(place)
    assert len(expected) >= ALERTS
    assert until(lambda: len(_alerts(place)) >= len(expected), 40), f"{len(_alerts(place))} of {len(expected)} alerts"
    found = [str(alert["id"]) for alert in _alerts(place)]
    assert len(found) == len(set(found)), "an alert is stored twice"
    assert set(found) == expected


def test_an_analyzer_killed_and_frozen(
    collector: Callable[..., Service],
    service: Callable[..., Service],
    sick: Callable[[float], Child],
    place: Path,
    tally: Tally,
    chance: random.Random,
    until: Callable[..., bool],
) -> None:
    """Killed at random moments, frozen and thawed while alerts arise: each alert is stored once, none is missing."""
    collector()
    analyzer = service("analyzer")
    training = sick(12.0)
    for turn in range(8):
        time.sleep(chance.uniform(0.1, 1.0))
        if turn % 3 == 2:
            analyzer.freeze()
            time.sleep(0.5)
            analyzer.thaw()
        else:
            analyzer.kill()
            analyzer = service("analyzer", wait=bool(turn % 2))
    assert training.wait(90) == 0 and training.said[-1] == "closed", training.errors
    _check_alerts(place, until)
    analyzer.process.terminate()
    assert analyzer.wait(10) == 0
    settle(place, tally, 30)


def test_collector_and_analyzer_killed_by_turns(
    collector: Callable[..., Service],
    service: Callable[..., Service],
    sick: Callable[[float], Child],
    place: Path,
    tally: Tally,
    chance: random.Random,
    until: Callable[..., bool],
) -> None:
    """An alert on its way when collector, analyzer or both die is told again, and stored once."""
    running = {"collector": collector(), "analyzer": service("analyzer")}
    training = sick(12.0)
    for _ in range(8):
        time.sleep(chance.uniform(0.1, 0.9))
        kinds = chance.choice([["collector"], ["analyzer"], ["collector", "analyzer"], ["analyzer", "collector"]])
        for kind in kinds:
            running[kind].kill()
        for kind in reversed(kinds):
            running[kind] = service(kind, wait=False)
    for one in running.values():
        one.wait_ready()
    assert training.wait(90) == 0 and training.said[-1] == "closed", training.errors
    _check_alerts(place, until)
    running["analyzer"].process.terminate()
    assert running["analyzer"].wait(10) == 0
    settle(place, tally, 30)


def test_frozen_consumers_do_not_hold_up_the_collector(
    collector: Callable[..., Service],
    service: Callable[..., Service],
    trainer: Callable[..., Child],
    place: Path,
    tally: Tally,
) -> None:
    """With analyzer and renderer frozen while they follow, 60,000 records are stored and acknowledged as ever."""
    collector()
    frozen = [service("analyzer"), service("renderer")]
    first = trainer(0, "--records", "2000", "--session", "first", "--no-autostart")
    assert first.wait(60) == 0
    for one in frozen:
        one.freeze()
    second = trainer(1, "--records", "60000", "--session", "second", "--no-autostart", "--timeout", "30")
    assert second.wait(60) == 0 and second.said[-1] == "closed", second.errors
    settle(place, tally, 20)
    for one in frozen:
        one.thaw()


def test_a_renderer_killed_and_frozen(
    collector: Callable[..., Service],
    service: Callable[..., Service],
    trainer: Callable[..., Child],
    place: Path,
    tally: Tally,
    chance: random.Random,
    until: Callable[..., bool],
) -> None:
    """Killed in the middle of its work again and again: pages are whole at every moment, and the last one is up to date."""
    collector()
    renderer = service("renderer")
    training = trainer(
        0, "--records", "8000", "--rate", "1000", "--no-autostart", "--timeout", "30", "--session", "run"
    )
    page = place / "dashboard_run.html"
    assert until(page.exists, 30)
    for turn in range(4):
        time.sleep(chance.uniform(0.1, 1.2))
        assert page.read_text().rstrip().endswith("</html>"), "half a page is in sight"
        if turn == 2:
            renderer.freeze()
            time.sleep(0.5)
            renderer.thaw()
        else:
            renderer.kill()
            renderer = service("renderer")
    assert training.wait(60) == 0 and training.said[-1] == "closed", training.errors
    settle(place, tally, 30)
    ended = time.time()
    assert until(lambda: page.stat().st_mtime > ended or "finished" in page.read_text(), 40), "the page is not renewed"
    assert page.read_text().rstrip().endswith("</html>")
