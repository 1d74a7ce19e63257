"""`RealTimeLogger`, the logger of the training loop, and `LogReader`, which reads what it wrote.

with create_real_time_logger() as logger:
    logger.log_training_step(step=100, loss=0.5, learning_rate=2e-4)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avaliacoes.background import finish_pages
from avaliacoes.log_reader import LogReader
from contract import alerts, places, settings
from contract.names import ALERTS, file_name
from contract.tail import Tail
from producer import Producer
from producer.client import DEFAULT_BUFFER, DEFAULT_FLUSH_S

if TYPE_CHECKING:
    from avaliacoes.alert_callbacks import AlertDesk, AlertSubscription

__all__ = ["LogReader", "RealTimeLogger", "create_real_time_logger"]

_CALLS = {
    "log_training_step": "training",
    "log_gradient_info": "gradients",
    "log_convergence_metrics": "convergence",
    "log_reward_info": "rewards",
    "log_performance_metrics": "performance",
}


class RealTimeLogger:
    """Logs one session of a training: each call returns in about a microsecond, never blocks and never raises.

    No service need run: without a configured endpoint the logger uses the collector of its data folder and starts one in
    the background if there is none.

    Args:
        base_path: data folder; default `AVALIACOES_DIR`, else `avaliacoes` under the working directory.
        buffer_size: records that may wait in memory; more overflow to a spool file on disk.
        flush_interval: seconds a record waits at most before it is sent.
        session: name of the session; default `[<prefix>_]YYYYMMDD_HHMMSS`; a name that is taken gets a suffix.
        prefix: put before the date.
        endpoint: collector elsewhere; default `AVALIACOES_ENDPOINT`.
        autostart: start a collector when the folder has none.
        config: kept with the session, hyperparameters for example.

    Raises:
        TypeError, ValueError: an argument that cannot be.
        OSError: the data folder cannot be used (the text says why and what to do).
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | None = None,
        buffer_size: int = DEFAULT_BUFFER,
        flush_interval: float = DEFAULT_FLUSH_S,
        *,
        session: str | None = None,
        prefix: str | None = None,
        endpoint: str | None = None,
        autostart: bool = True,
        config: dict[str, Any] | None = None,
        _producer: Producer | None = None,
    ) -> None:
        self._producer = _producer or Producer(
            base_path,
            session=session,
            prefix=prefix,
            buffer_size=buffer_size,
            flush_interval=flush_interval,
            endpoint=endpoint,
            autostart=autostart,
            config=config,
        )
        self._buffer_size = buffer_size
        self._flush_interval = flush_interval
        self._shortcuts()
        self._finished = False
        self._alerts: Tail | None = None
        self._rows = alerts.Rows()
        self._autostart = autostart and os.environ.get("AVALIACOES_AUTOSTART", "1") != "0"
        self._endpoint = endpoint or os.environ.get(places.ENV_ENDPOINT) or None
        self._desk: AlertDesk | None = None

    def _shortcuts(self) -> None:
        """Put the log calls themselves in place of the methods that hand on to them: a fourth of a cold call's time.

        A subclass that overrides one of the methods keeps its own.
        """
        for name, category in _CALLS.items():
            method = getattr(RealTimeLogger, name)
            if getattr(type(self), name) is method:
                call = self._producer.stream(category)
                call.__name__, call.__qualname__, call.__doc__ = name, method.__qualname__, method.__doc__
                setattr(self, name, call)

    @property
    def session(self) -> str:
        """Name of the session, as it stands in the names of its files."""
        return self._producer.session

    @property
    def session_id(self) -> str:
        """The same as `session`."""
        return self._producer.session

    @property
    def base_path(self) -> Path:
        """The data folder, absolute."""
        return self._producer.base_path

    def log_training_step(self, /, step: int, **metrics: Any) -> None:
        """Log losses, learning rate and the like of one update."""
        self._producer.stream("training")(step, **metrics)

    def log_gradient_info(self, /, step: int, **gradient_data: Any) -> None:
        """Log gradient figures: `grad_norm` (L2), `grad_zeros_ratio` (0 to 1), `weight_update_ratio`, `component`."""
        self._producer.stream("gradients")(step, **gradient_data)

    def log_convergence_metrics(self, /, step: int, **convergence_data: Any) -> None:
        """Log figures of convergence."""
        self._producer.stream("convergence")(step, **convergence_data)

    def log_reward_info(self, /, step: int, **reward_data: Any) -> None:
        """Log an episode: `episode_reward`, `episode_length` (steps), anything else."""
        self._producer.stream("rewards")(step, **reward_data)

    def log_performance_metrics(self, /, step: int, **performance_data: Any) -> None:
        """Log speed and resources, `fps` for example."""
        self._producer.stream("performance")(step, **performance_data)

    def log(self, /, category: str, step: int, **metrics: Any) -> None:
        """Log to any category, named `[a-z][a-z0-9_]*`; another name is made to fit and counted."""
        self._producer.stream(category)(step, **metrics)

    def get_real_time_stats(self) -> dict[str, Any]:
        """The state of this session's records.

        Returns:
            `session`; counts `logged`, `sent`, `persisted` (acknowledged as written), `waiting`, `spooled`, `dropped`,
            `resent`; `per_category` and `last_values` by category; `rate` in records per second; `connected`;
            `active_alerts`, newest first; `values_replaced` (values of which only the text could be kept);
            `protected` (records survive this process's death).
        """
        return {**self._producer.stats(), "active_alerts": self._active_alerts()}

    def _active_alerts(self) -> list[dict[str, Any]]:
        if self._alerts is None:
            self._alerts = Tail(self.base_path / file_name(ALERTS, self.session))
        try:
            for event in self._alerts.read_new(limit=1 << 20):
                self._rows.update(event)
            minutes = settings.load(self.base_path)["alert_retention_minutes"]
        except OSError:
            return []
        return self._rows.shown(time.time(), 60.0 * minutes)

    def on_alert(
        self,
        callback: Callable[[dict[str, Any]], object],
        level: str = "INFO",
        rules: str | Iterable[str] | None = None,
        resolved: bool = False,
    ) -> AlertSubscription:
        """Have `callback(alert)` called when the analyzer raises an alert on this session.

        It is called on the thread of a log call, the next one after the alert: it may stop, change or save the training.
        What it raises is counted and said once, never passed on (but `SystemExit` and `KeyboardInterrupt`). An analyzer is
        started in the background where none runs.

        Args:
            callback: gets the alert as a dict (`contract.alerts`): `rule`, `level`, `message`, `value`, `step`, ...
            level: alerts of this level and worse; "INFO" is all.
            rules: only these rules.
            resolved: also call it when an alert it was told of is over (`state` "resolved" or "ended").

        Returns:
            A subscription; its `cancel()`, or the end of a `with` block on it, undoes this.

        Raises:
            contract.rule_names.RuleRefused: an unknown level or rule; the nearest one is named (a `ValueError`).
            TypeError: `callback` cannot be called.
        """
        from avaliacoes.alert_callbacks import AlertDesk, for_callback

        if not callable(callback):
            raise TypeError(f"on_alert needs something to call, got {callback!r:.80}")
        selection = for_callback(level, rules, self.base_path)
        since = self._alerts_size()
        desk = self._desk or AlertDesk()
        made = desk.add(callback, selection, resolved, since)
        self._attach(desk)
        return made

    def _alerts_size(self) -> int:
        try:
            return (self.base_path / file_name(ALERTS, self.session)).stat().st_size
        except OSError:
            return 0

    def _attach(self, desk: AlertDesk) -> None:
        """From now on put this session's alerts onto `desk`, and deliver them with the log calls."""
        if self._desk is desk and desk.heard:
            return
        from avaliacoes.alert_listener import listener

        desk.heard = True
        self._desk = desk
        desk.announce = self._producer.announce
        self._producer.hear(desk.deliver)
        desk.announce()  # the desk of an integration may bring news along
        listener().watch(self.base_path, self.session, desk, self._autostart, self._endpoint)

    def _detach(self) -> None:
        """Deliver what has come, and hear no more."""
        if self._desk is not None:
            from avaliacoes.alert_listener import forget

            desk, self._desk = self._desk, None
            self._producer.hear(None)
            forget(desk)
            desk.heard = False
            desk.deliver()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything logged so far is on disk; True if it is within `timeout` seconds."""
        return self._producer.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """End the session. When it returns True, everything logged is on disk; see `Producer.close`."""
        done = self._producer.close(timeout)
        self._detach()
        self._finish_pages()
        return done

    def _finish_pages(self) -> None:
        if not self._finished:
            self._finished = True
            finish_pages(self.base_path, self.session)

    def __enter__(self) -> RealTimeLogger:
        return self

    def __exit__(self, *error: Any) -> None:
        self._producer.__exit__(*error)
        self._detach()
        self._finish_pages()

    def __reduce__(self) -> tuple[Any, ...]:
        """A logger sent to a spawned process becomes a producer of its own there, in the same session."""
        state = (str(self.base_path), self._buffer_size, self._flush_interval, self.session, self._producer.producer_id)
        return _in_another_process, state


def _in_another_process(
    base: str, buffer_size: int, flush_interval: float, session: str, parent: str
) -> RealTimeLogger:
    producer = Producer(
        base, session=session, buffer_size=buffer_size, flush_interval=flush_interval, claim=False, parent=parent
    )
    return RealTimeLogger(base, buffer_size, flush_interval, _producer=producer)


def create_real_time_logger(
    base_path: str | os.PathLike[str] | None = None,
    buffer_size: int = DEFAULT_BUFFER,
    flush_interval: float = DEFAULT_FLUSH_S,
    **options: Any,
) -> RealTimeLogger:
    """A `RealTimeLogger`; takes the same arguments."""
    return RealTimeLogger(base_path, buffer_size, flush_interval, **options)
