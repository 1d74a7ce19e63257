"""Back to the trainer: who is told of which alert, when, on which thread, and how often."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alert_analyst import Analyst, logging_until, numbers

from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from avaliacoes.real_time_logger import RealTimeLogger
from contract.names import file_name

Until = Callable[..., bool]


def test_a_trainer_hears_of_its_broken_gradient(place: Path) -> None:
    """With nothing running before, a callback is called on the training's thread with an alert on its own records, and the
    loop sees that it should stop."""
    integration = create_integrated_logger(place)
    told: list[tuple[dict[str, Any], threading.Thread]] = []
    integration.on_alert(
        lambda alert: told.append((alert, threading.current_thread())), rules="non_finite", level="ERROR"
    )
    integration.stop_on("ERROR")
    session = integration.start_session("loop")
    deadline = time.monotonic() + 60
    while not integration.should_stop and time.monotonic() < deadline:
        integration.log_training_step(loss=1.0)
        integration.log_gradient_info(grad_norm=math.nan)
        time.sleep(0.005)
    assert integration.should_stop and integration.stopped_by is not None
    integration.end_session()
    ((alert, thread),) = told
    assert thread is threading.current_thread()
    assert (alert["rule"], alert["level"], alert["metric"]) == ("non_finite", "ERROR", "grad_norm")
    assert integration.get_current_stats()["session"] == session


def test_told_on_its_own_thread_at_the_next_log_call(
    integration: TrainingLoggerIntegration, analyst: Analyst, until: Until
) -> None:
    """An alert waits until the trainer logs or looks at `should_stop`, and is told there."""
    told: list[str] = []
    integration.on_alert(lambda _: told.append(threading.current_thread().name))
    session = integration.start_session()
    integration.log_training_step(loss=1.0)
    desk = integration._desk
    assert desk is not None
    analyst.say(session, 1)
    assert until(lambda: desk.news)
    assert told == []
    trainer = threading.Thread(target=integration.log_training_step, kwargs={"loss": 1.0}, name="mine")
    trainer.start()
    trainer.join()
    assert told == ["mine"]
    analyst.say(session, 2)
    assert until(lambda: desk.news)
    assert integration.should_stop is False and told == ["mine", threading.current_thread().name]


def test_a_callback_that_raises_harms_nobody(
    integration: TrainingLoggerIntegration, analyst: Analyst, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once and counted, the others are told, and every record is logged; `SystemExit` alone passes."""
    told: list[Any] = []
    integration.on_alert(lambda alert: 1 / 0)
    integration.on_alert(told.append)
    session = integration.start_session()
    with caplog.at_level(logging.WARNING, "avaliacoes"):
        for number in range(3):
            analyst.say(session, number)
        assert logging_until(integration, lambda: len(told) == 3)
    assert len([record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]) == 1
    assert integration.get_current_stats()["alert_callbacks"] == {"told": 6, "failed": 3, "dropped": 0}
    with integration.on_alert(lambda alert: sys.exit(3)), pytest.raises(SystemExit):
        analyst.say(session, 9)
        logging_until(integration, lambda: len(told) == 5)


def test_a_callback_may_log_and_end_the_session(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """Logging inside a callback does not call it again, and it may end the session it hears of."""
    calls: list[int] = []

    def act(alert: dict[str, Any]) -> None:
        calls.append(1)
        integration.log_training_step(reaction=1.0)
        if len(calls) == 2:
            integration.end_session()

    integration.on_alert(act)
    session = integration.start_session()
    analyst.say(session, 1)
    assert logging_until(integration, lambda: len(calls) == 1)
    analyst.say(session, 2)
    assert logging_until(integration, lambda: len(calls) == 2)
    integration.end_session()
    path = integration.base_path / file_name("training", session)
    assert sum("reaction" in line for line in path.read_text().splitlines()) == 2


def test_undone_ended_and_begun_again(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """A cancelled subscription hears no more, an ended session is not heard of, and the next session is."""
    kept: list[Any] = []
    undone: list[Any] = []
    integration.on_alert(kept.append)
    subscription = integration.on_alert(undone.append)
    integration.stop_on("ERROR")
    first = integration.start_session("one")
    analyst.say(first, 1)
    assert logging_until(integration, lambda: integration.should_stop)
    assert numbers(kept) == numbers(undone) == [1]
    subscription.cancel()
    subscription.cancel()
    second = integration.start_session("two")
    assert not integration.should_stop and integration.stopped_by is None
    analyst.say(first, 2)
    analyst.say(second, 3)
    assert logging_until(integration, lambda: len(kept) == 2)
    assert numbers(kept) == [1, 3] and numbers(undone) == [1]
    integration.reset_stop()
    assert not integration.should_stop


def test_who_asks_late_hears_of_what_comes_later(
    integration: TrainingLoggerIntegration, analyst: Analyst, until: Until
) -> None:
    """A subscription made in the middle of a run is not told of alerts from before."""
    session = integration.start_session()
    path = integration.base_path / file_name("alerts", session)
    analyst.say(session, 1)
    assert until(lambda: path.exists() and path.stat().st_size)
    early: list[Any] = []
    late: list[Any] = []
    integration.on_alert(early.append)
    analyst.say(session, 2)
    assert logging_until(integration, lambda: early)
    integration.on_alert(late.append)
    analyst.say(session, 3)
    assert logging_until(integration, lambda: late)
    assert numbers(early) == [2, 3] and numbers(late) == [3]


def test_each_of_several_integrations_hears_of_its_own(collector: Path, analyst: Analyst) -> None:
    """Two trainings in one process, and a plain logger beside them, are told of their own alerts, by one thread."""
    ours = [create_integrated_logger(collector) for _ in range(2)]
    told: list[list[Any]] = [[], [], []]
    sessions = []
    for integration, found in zip(ours, told, strict=False):
        integration.on_alert(found.append)
        sessions.append(integration.start_session())
    with RealTimeLogger(collector, prefix="plain") as logger:
        logger.on_alert(told[2].append)
        sessions.append(logger.session)
        for number, session in enumerate(sessions):
            analyst.say(session, number)
        deadline = time.monotonic() + 20
        while not all(told) and time.monotonic() < deadline:
            for integration in ours:
                integration.log_training_step(loss=1.0)
            logger.log_training_step(0, loss=1.0)
            time.sleep(0.005)
        threads = [thread.name for thread in threading.enumerate()]
    for integration in ours:
        integration.end_session()
    assert [numbers(found) for found in told] == [[0], [1], [2]]
    assert threads.count("avaliacoes-alerts") == 1
