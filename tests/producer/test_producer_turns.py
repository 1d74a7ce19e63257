"""Many callers of one log call: threads, signal handlers, and a caller that was cut off in the middle."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from avaliacoes.log_reader import LogReader
from producer import Producer

pytestmark = pytest.mark.usefixtures("way")


def test_threads_and_a_signal_handler_share_a_log_call(place: Path) -> None:
    """Four threads and a signal handler that logs in the middle of the main thread's calls: each record is there once."""
    each, heard = 5_000, 0
    with Producer(place, session="turns_20250101_000000") as producer:
        log = producer.stream("training")

        def alarm(_number: int, _frame: object) -> None:
            nonlocal heard
            log(heard, who="alarm")
            heard += 1

        def work(who: str) -> None:
            for step in range(each):
                log(step, who=who)

        interval = sys.getswitchinterval()
        before = signal.signal(signal.SIGALRM, alarm)
        try:
            sys.setswitchinterval(1e-5)
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(4)]
            for thread in threads:
                thread.start()
            work("main")
            for thread in threads:
                thread.join()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            sys.setswitchinterval(interval)
        assert producer.flush(30)
        assert producer.stats()["dropped"] == 0
    found = Counter(record["who"] for record in LogReader(place, "turns_20250101_000000").read_stream("training"))
    expected = {"main": each, **{f"thread{n}": each for n in range(4)}, "alarm": heard}
    assert found == Counter({who: count for who, count in expected.items() if count})


def test_a_value_that_logs_while_it_is_converted(place: Path) -> None:
    """A metric whose own conversion logs again: both records are stored, and the call does not wait for itself."""

    class Talkative:
        def __float__(self) -> float:
            log(2, inner=1.0)
            return 0.5

    with Producer(place, session="inner_20250101_000000") as producer:
        log = producer.stream("training")
        log(1, outer=Talkative())
    records = list(LogReader(place, "inner_20250101_000000").read_stream("training"))
    assert sorted(record["step"] for record in records) == [1, 2]


def test_a_lost_turn_is_given_back(place: Path, until: Callable[..., bool]) -> None:
    """A caller cut off between taking its turn and using it (Ctrl-C) costs nobody a record."""
    with Producer(place, session="lost_20250101_000000") as producer:
        log = producer.stream("training")
        log(0, loss=1.0)
        cells = dict(zip(log.__code__.co_freevars, log.__closure__ or (), strict=True))  # type: ignore[attr-defined]
        cells["take"].cell_contents()
        for step in range(1, 4):
            log(step, loss=1.0)
        assert until(lambda: producer.stats()["per_category"]["training"] == 4, 20.0)
        log(4, loss=1.0)
    assert sorted(r["step"] for r in LogReader(place, "lost_20250101_000000").read_stream("training")) == [
        0,
        1,
        2,
        3,
        4,
    ]
