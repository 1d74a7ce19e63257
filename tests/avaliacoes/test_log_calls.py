"""The log calls of a `RealTimeLogger` are the stores themselves; what may be written as a call of a method still may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avaliacoes.real_time_logger import LogReader, RealTimeLogger
from producer import Producer

pytestmark = pytest.mark.usefixtures("way")

NAMES = {
    "log_training_step": "training",
    "log_gradient_info": "gradients",
    "log_convergence_metrics": "convergence",
    "log_reward_info": "rewards",
    "log_performance_metrics": "performance",
}


@pytest.mark.parametrize(("name", "category"), NAMES.items())
def test_each_call_takes_its_step_by_place_or_by_name(place: Path, name: str, category: str) -> None:
    with RealTimeLogger(place) as logger:
        call = getattr(logger, name)
        assert call.__name__ == name and call.__doc__ == getattr(RealTimeLogger, name).__doc__
        call(1, self=1.0, category="c", name="n", loss=np.float32(0.5))
        call(step=2, loss=0.25)
        getattr(RealTimeLogger, name)(logger, 3, loss=0.125)
        with pytest.raises(TypeError, match="step"):
            call(loss=1.0)
    records = list(LogReader(place, logger.session).read_stream(category))
    assert [(r["step"], r["loss"]) for r in records] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert (records[0]["self"], records[0]["category"], records[0]["name"]) == (1.0, "c", "n")


def test_a_subclass_keeps_the_calls_that_it_overrides(place: Path) -> None:

    class Doubling(RealTimeLogger):
        def log_training_step(self, /, step: int, **metrics: Any) -> None:
            super().log_training_step(step, doubled=2 * metrics["loss"], **metrics)

    with Doubling(place) as logger:
        logger.log_training_step(1, loss=4.0)
        logger.log_reward_info(1, episode_reward=1.0)
    reader = LogReader(place, logger.session)
    assert next(iter(reader.read_stream("training")))["doubled"] == 8.0
    assert next(iter(reader.read_stream("rewards")))["episode_reward"] == 1.0


def test_a_dict_may_have_names_that_no_call_can_take(place: Path) -> None:
    """Numbers as names, and a metric called `step`: stored under names that are text."""
    with Producer(place, session="dicts_20250101_000000") as producer:
        producer.log("training", 1, {1: 0.5, "step": 9, "loss": 1.0})
        producer.log("training", 2, {None: 1, "": 2})
    one, two = LogReader(place, "dicts_20250101_000000").read_stream("training")
    assert (one["step"], one["1"], one["metric_step"], one["loss"]) == (1, 0.5, 9, 1.0)
    assert (two["None"], two[""]) == (1, 2)


def test_what_waits_is_told_on_the_thread_of_a_log_call_not_on_the_senders(
    place: Path, until: Callable[..., bool]
) -> None:
    told: list[str] = []
    with Producer(place) as producer:
        producer.hear(lambda: told.append(threading.current_thread().name))
        producer.announce()
        producer._beat()
        assert told == [threading.current_thread().name]
        producer.announce()
        thread = threading.Thread(target=lambda: producer.log("training", 1, {"loss": 1.0}), name="learner")
        thread.start()
        thread.join()
        assert told[-1] == "learner"
        producer.log("training", 1, {"loss": 1.0})
        assert len(told) == 2  # each announcement once
        producer.hear(None)
        producer.announce()
        producer.log("training", 2, {"loss": 1.0})
        told_before = list(told)
        producer.hear(lambda: told.append(threading.current_thread().name))
        producer.announce()
        deferred = producer._by_category["training"].deferred  # as a signal handler within a call leaves it
        deferred.append((0.0, 3, {"loss": 1.0}))
        producer.nap.wake()
        assert until(lambda: not deferred and producer.counts()["logged"] == 4)
        producer.hear(None)
        assert told == told_before
