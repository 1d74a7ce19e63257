"""One object between an existing training and the logger: steps counted, gradients extracted, old loggers tapped.

    integration = create_integrated_logger()
    session_id = integration.start_session("my_run")
    integration.log_training_step(loss=0.5, lr=2e-4)
    integration.log_gradient_info(model=policy_network)
    integration.end_session()

Nothing here raises into the training for what it measures: what cannot be read is counted (`get_current_stats`) and warned about once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from avaliacoes.gradients import measure
from avaliacoes.real_time_logger import RealTimeLogger
from contract import places

if TYPE_CHECKING:
    from avaliacoes.alert_callbacks import AlertDesk, AlertSubscription, StopOn
    from avaliacoes.csv_files import CsvFollower
    from avaliacoes.patching import Patch
    from avaliacoes.sb3 import MonitoringCallback

#: Not `warnings`: under `-W error` a warning would stop the training.
_LOG = logging.getLogger("avaliacoes")

#: Names that the older system and common libraries use for what we call otherwise.
ALIASES = {"lr": "learning_rate"}


class TrainingLoggerIntegration:
    """Logs a training's records into one session at a time.

    Args:
        base_path: data folder; by default `avaliacoes` under the working directory (`AVALIACOES_DIR` overrides).
        enable_csv_fallback: also write `<category>_<session>.csv` beside every JSONL file, with the same rows.
        gradient_monitoring: False makes extraction from models do nothing: `log_gradient_info(model=...)` writes only what
            it is given by name, and the SB3 callback does not touch gradients.
        logger_options: further arguments of `RealTimeLogger` (`buffer_size`, `flush_interval`, `endpoint`, ...).

    A session begins with `start_session`, or by itself with the first record; `end_session` delivers everything. The
    object may be used from several threads, and as a context manager.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | None = None,
        enable_csv_fallback: bool = False,
        gradient_monitoring: bool = True,
        **logger_options: Any,
    ) -> None:
        self.base_path = places.base_path(base_path)
        self.enable_csv_fallback = enable_csv_fallback
        self.gradient_monitoring = gradient_monitoring
        self._options = logger_options
        self._lock = threading.RLock()
        self._logger: RealTimeLogger | None = None
        self._csv: CsvFollower | None = None
        self._patches: list[Patch] = []
        self._last_stats: dict[str, Any] = {}
        self._desk: AlertDesk | None = None
        self._reset_counters()
        self._pid = os.getpid()
        atexit.register(_end_at_exit, weakref.ref(self))

    def _reset_counters(self) -> None:
        self._steps: dict[str, int] = {}
        self._episodes = 0
        self._problems: dict[str, int] = {}

    @property
    def session(self) -> str | None:
        """The open session, or None."""
        logger = self._logger
        return logger.session if logger is not None else None

    def start_session(self, prefix: str | None = None) -> str:
        """Begin a session `YYYYMMDD_HHMMSS` or `<prefix>_YYYYMMDD_HHMMSS` and return its name.

        A session that is still open is ended first.

        Raises:
            contract.names.NameRefused: a prefix that cannot be part of a file's name.
            contract.places.PlaceRefused: a data folder that cannot be written.
        """
        with self._lock:
            if self._logger is not None:
                self.end_session()
            self._reset_counters()
            logger = RealTimeLogger(self.base_path, prefix=prefix, **self._options)
            if self.enable_csv_fallback:
                from avaliacoes.csv_files import CsvFollower

                self._csv = CsvFollower(self.base_path, logger.session)
                self._csv.start()
            if self._desk is not None:
                self._desk.new_session(logger._alerts_size())
                logger._attach(self._desk)
            self._logger = logger
            return logger.session

    def _open(self) -> RealTimeLogger:
        logger = self._logger
        while logger is None:
            with self._lock:
                if self._logger is None:
                    self.start_session()
                logger = self._logger
        return logger

    def log(self, category: str, step: int | None = None, /, **metrics: Any) -> None:
        """Log a record of any category. Without `step`, training counts by itself from 0, and the others take the
        step that training has reached (or count by themselves while nothing was logged as training)."""
        logger = self._open()
        for old, new in ALIASES.items():
            if old in metrics and new not in metrics:
                metrics[new] = metrics.pop(old)
        for name in ("category", "step"):
            if name in metrics:
                metrics[f"metric_{name}"] = metrics.pop(name)
        logger.log(category, self._step(category, step), **metrics)  # type: ignore[arg-type]

    def _step(self, category: str, step: int | None) -> int | None:
        if step is None:
            with self._lock:
                if category != "training" and "training" in self._steps:
                    return self._steps["training"]
                step = self._steps[category] = self._steps.get(category, -1) + 1
        elif category == "training" or "training" not in self._steps:
            try:
                self._steps[category] = int(step)
            except (TypeError, ValueError):
                pass  # the logger says what a step must be
        return step

    def log_training_step(self, step: int | None = None, **metrics: Any) -> None:
        """Log training metrics (`loss`, `learning_rate` or `lr`, `policy_loss`, ...) of one step or update."""
        self.log("training", step, **metrics)

    def log_gradient_info(
        self, model: Any = None, component: str | None = None, step: int | None = None, **manual_data: Any
    ) -> None:
        """Log the health of gradients.

        Args:
            model: what `avaliacoes.gradients.measure` reads: a torch module after `backward()`, a look-alike, or arrays.
            component: name of the part of the model that this record is about.
            step: training step; by default the one that training has reached.
            manual_data: further fields (`grad_norm`, `grad_zeros_ratio`, `weight_update_ratio`, ...); they win over measured ones.
        """
        fields: dict[str, Any] = {}
        if component is not None:
            fields["component"] = component
        if model is not None and self.gradient_monitoring:
            try:
                fields.update(measure(model))
            except Exception as error:  # a user's model may raise anything; the training goes on
                self.count_problem("gradients", f"gradients not extracted: {type(error).__name__}: {error}")
        fields.update(manual_data)
        if fields and (model is None or len(fields) > (component is not None)):
            self.log("gradients", step, **fields)

    def log_episode_end(self, step: int | None = None, **episode_data: Any) -> None:
        """Log an episode (`episode_reward`, `episode_length`, ...) as a record of category rewards, numbered from 1."""
        self._open()
        with self._lock:
            self._episodes += 1
            number = self._episodes
        self.log("rewards", step, **{"episode": number, **episode_data})

    log_reward_info = log_episode_end

    def log_convergence_metrics(self, step: int | None = None, **convergence_data: Any) -> None:
        """Log what says whether the training converges (category convergence)."""
        self.log("convergence", step, **convergence_data)

    def log_performance_metrics(self, step: int | None = None, **performance_data: Any) -> None:
        """Log speed and use of the machine (category performance)."""
        self.log("performance", step, **performance_data)

    def count_problem(self, kind: str, text: str) -> None:
        """Count something that could not be measured or logged; the first of a kind in a session is a warning."""
        with self._lock:
            self._problems[kind] = self._problems.get(kind, 0) + 1
            first = self._problems[kind] == 1
        if first:
            _LOG.warning("%s (further ones are only counted)", text)

    def _asked(self) -> tuple[AlertDesk, int]:
        """The desk, heard by now if a session is open, and where in the file of alerts it is now."""
        from avaliacoes.alert_callbacks import AlertDesk

        with self._lock:
            if self._desk is None:
                self._desk = AlertDesk()
            logger = self._logger
            since = logger._alerts_size() if logger is not None else 0
            if logger is not None:
                logger._attach(self._desk)
            return self._desk, since

    def on_alert(
        self,
        callback: Callable[[dict[str, Any]], object],
        level: str = "INFO",
        rules: str | Iterable[str] | None = None,
        resolved: bool = False,
    ) -> AlertSubscription:
        """As `RealTimeLogger.on_alert`, for the open session and for those that this integration begins later on.

        Raises:
            contract.rule_names.RuleRefused: an unknown level or rule; the nearest one is named (a `ValueError`).
            TypeError: `callback` cannot be called.
        """
        from avaliacoes.alert_callbacks import for_callback

        if not callable(callback):
            raise TypeError(f"on_alert needs something to call, got {callback!r:.80}")
        selection = for_callback(level, rules, self.base_path)
        desk, since = self._asked()
        return desk.add(callback, selection, resolved, since)

    def stop_on(self, what: StopOn = "ERROR") -> AlertSubscription:
        """Have `should_stop` become true at the first alert of a kind; nothing is raised, the loop decides.

        Args:
            what: a level ("ERROR": that and worse), a rule's name or several, of these also mixed (a named rule counts from
                WARNING on: as an INFO it only says that a limit was crossed), or `{rule: level}`.

        Returns:
            A subscription; its `cancel()` undoes this.

        Raises:
            contract.rule_names.RuleRefused: an unknown level or rule; the nearest one is named (a `ValueError`).
            TypeError: none of these.
        """
        from avaliacoes.alert_callbacks import for_stop

        selection = for_stop(what, self.base_path)
        desk, since = self._asked()
        return desk.stop_on(selection, since)

    @property
    def should_stop(self) -> bool:
        """Whether an alert that `stop_on` names has come since the session began. What waits is told first, on this thread."""
        desk = self._desk
        if desk is None:
            return False
        if desk.news:
            desk.deliver()
        return desk.stopped_by is not None

    @property
    def stopped_by(self) -> dict[str, Any] | None:
        """The alert that made `should_stop` true, or None."""
        return self._desk.stopped_by if self._desk is not None else None

    def reset_stop(self) -> None:
        """Go on: `should_stop` is false until another alert comes."""
        if self._desk is not None:
            self._desk.stopped_by = None

    def create_sb3_callback(self, stop_on: StopOn | None = None, **options: Any) -> MonitoringCallback:
        """A Stable-Baselines3 callback that logs the training into this integration's session.

        It begins a session if none is open when `learn` begins, and ends it after `learn` in that case only.

        Args:
            stop_on: end `learn` at the step after the first alert of this kind, see `stop_on`; `stopped_by` says which.
            options: further arguments of `avaliacoes.sb3.MonitoringCallback`.

        Raises:
            ImportError: stable-baselines3 is not installed.
            contract.rule_names.RuleRefused: `stop_on` names an unknown level or rule; the nearest one is named.
        """
        try:
            from avaliacoes.sb3 import MonitoringCallback
        except ImportError as error:
            raise ImportError(
                "create_sb3_callback needs stable-baselines3 and torch: pip install 'avaliacoes[sb3]'"
            ) from error
        return MonitoringCallback(self, stop_on=stop_on, **options)

    def patch_existing_logger(self, logger_instance: Any, method_name: str) -> None:
        """Log whatever goes through `logger_instance.method_name(...)` too, until `end_session`.

        The method behaves as before. Understood are keyword numbers, dicts, `(name, value[, step])`, and what the
        method's own parameter names say; texts are not logged but counted.

        Raises:
            AttributeError: there is no such method.
            TypeError: the attribute is no method, or the object does not allow it to be replaced.
        """
        from avaliacoes.patching import Patch

        self._patches.append(Patch(self, logger_instance, method_name))

    def get_current_stats(self) -> dict[str, Any]:
        """Statistics of the open session, of the last one after `end_session`: those of
        `RealTimeLogger.get_real_time_stats()`, and step, episodes, problems (counts by kind), patched methods, and
        calls to `on_alert` callbacks."""
        with self._lock:
            logger = self._logger
            if logger is not None:
                self._last_stats = dict(logger.get_real_time_stats())
            return {
                **(self._last_stats or {"session": None}),
                "open": logger is not None,
                "step": self._steps.get("training"),
                "episodes": self._episodes,
                "problems": dict(self._problems),
                "patched": [patch.describe() for patch in self._patches],
                "alert_callbacks": self._desk.figures() if self._desk is not None else None,
            }

    def end_session(self) -> None:
        """Undo patches, deliver everything that was logged and finish the CSV files. A second call does nothing."""
        self._end(None, None, None)

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            for patch in reversed(self._patches):
                patch.undo()
            self._patches = []
            logger, self._logger = self._logger, None
            if logger is not None:
                # As at the end of a `with` block: the session's last record says whether it ended by an exception.
                logger.__exit__(kind, error, trace)
                self._last_stats = dict(logger.get_real_time_stats())
            follower, self._csv = self._csv, None
            if follower is not None:
                self._finish_csv(follower)

    def _finish_csv(self, follower: CsvFollower) -> None:
        try:
            rows = follower.finish()
        except OSError as error:
            self.count_problem("csv", f"CSV files not completed: {error}. `avaliacoes export` writes them anew")
            return
        if not rows and self._last_stats.get("logged"):
            self.count_problem("csv", "no CSV rows: the data files are not in this folder (a collector elsewhere?)")

    def __enter__(self) -> TrainingLoggerIntegration:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(kind, error, trace)


def _end_at_exit(reference: weakref.ref[TrainingLoggerIntegration]) -> None:
    integration = reference()
    if integration is not None and integration._pid == os.getpid():
        integration.end_session()


def create_integrated_logger(
    base_path: str | os.PathLike[str] | None = None,
    enable_csv_fallback: bool = False,
    gradient_monitoring: bool = True,
    **logger_options: Any,
) -> TrainingLoggerIntegration:
    """A `TrainingLoggerIntegration`; its arguments are the same."""
    return TrainingLoggerIntegration(base_path, enable_csv_fallback, gradient_monitoring, **logger_options)
