"""`python -m analyzer`: arguments, signals, exit codes, and the one place where the analyzer meets the producer."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from analyzer import tuning
from analyzer.loop import run
from analyzer.settings import ENV_IDLE, ENV_QUIET, ENV_SCAN, Settings, SettingsRefused, from_environment
from contract import places, service
from contract.config import ConfigRefused

if TYPE_CHECKING:
    from producer import Producer

_KIND: Final = "analyzer"
#: The service has 5 s to end; what a publisher cannot deliver in this time, its ring and spool keep.
_CLOSE_S: Final = 2.0
#: And what the notifier cannot send in this time waits in its state for the next analyzer.
_NOTIFY_S: Final = 1.0
#: An alert that follows another soon finds the producer still there.
_IDLE_S: Final = 5.0
#: An alert is rare and small; the default ring would be 64 MiB per session.
_BUFFER: Final = 1_000


class Publisher:
    """Alerts as records of category `alerts`, by one producer per session, made when an alert comes.

    A producer has threads, sockets and a ring of its own: what has delivered everything and had nothing to say for
    `_IDLE_S` is let go, so that two hundred sessions cost what the few that alert right now cost.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._producers: dict[str, Producer] = {}
        self._used: dict[str, float] = {}

    @property
    def producers(self) -> int:
        return len(self._producers)

    def __call__(self, session: str, step: int, metrics: dict[str, Any]) -> None:
        self._used[session] = time.monotonic()
        producer = self._producers.get(session)
        if producer is None:
            from producer import Producer

            producer = self._producers[session] = Producer(
                self._base, session=session, claim=False, lifecycle=False, autostart=False, buffer_size=_BUFFER
            )
        producer.log("alerts", step, metrics)

    def tidy(self, idle_s: float = _IDLE_S) -> None:
        """Let go of the producers that have been idle for so long."""
        before = time.monotonic() - idle_s
        for session in [name for name in self._producers if self._used[name] <= before]:
            if not self._producers[session].counts()["waiting"]:
                self.done(session)

    def done(self, session: str) -> None:
        """Deliver and let go of a session's producer."""
        self._used.pop(session, None)
        producer = self._producers.pop(session, None)
        if producer is not None:
            producer.close(timeout=0.5)

    def close(self) -> None:
        """Deliver and let go of all, within `_CLOSE_S` seconds."""
        deadline = time.monotonic() + _CLOSE_S
        while self._producers:
            _, producer = self._producers.popitem()
            producer.close(timeout=max(0.01, deadline - time.monotonic()))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m analyzer",
        description="Watches the sessions of a data folder and publishes alerts about trainings that are sick: gradients, "
        "losses, rewards, policies, processes. docs/alerts.md says what each rule looks at and how to set it.",
        epilog=f"exit codes: {service.EXIT_OK} ended as asked; {service.EXIT_FAILED} failed; {service.EXIT_USAGE} wrong "
        f"arguments; {service.EXIT_ALREADY_RUNNING} an analyzer already runs on this folder; "
        f"{service.EXIT_CANNOT_START} the folder cannot be used",
    )
    made.add_argument("--base-path", help=f"the data folder (default: {places.ENV_BASE}, else ./{places.DEFAULT_BASE})")
    made.add_argument(
        "--auto", action="store_true", help="end when no session is active; give way to one without --auto"
    )
    made.add_argument(
        "--idle", type=float, metavar="S", help=f"with --auto: seconds without a session ({ENV_IDLE}; 30)"
    )
    made.add_argument(
        "--scan-interval", type=float, metavar="S", help=f"seconds between looks at the folder ({ENV_SCAN}; 0.5)"
    )
    made.add_argument(
        "--quiet", type=float, metavar="S", help=f"seconds an ended session is kept open ({ENV_QUIET}; 5)"
    )
    made.add_argument(
        "--config", metavar="FILE", help="the configuration (default: avaliacoes.toml in the data folder)"
    )
    made.add_argument(
        "--test-notify",
        action="store_true",
        help="send a trial message to every receiver of [notify] in avaliacoes.toml, say what became of it, and end",
    )
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


def serve(settings: Settings) -> int:
    """Hold the folder and watch it until asked to stop; returns the exit code."""
    with service.stopping_on_signals() as stop:
        try:
            places.prepare_base(settings.base)
            held = service.hold(settings.base, _KIND, auto=settings.auto)
        except service.AlreadyRunning as error:
            print(f"analyzer: {error}", file=sys.stderr)
            return service.EXIT_ALREADY_RUNNING
        except OSError as error:
            print(f"analyzer: {error}", file=sys.stderr)
            return service.EXIT_CANNOT_START
        publisher = Publisher(str(settings.base))
        notifier = None
        try:
            held.announce()
            print(f"analyzer: ready, watching {settings.base}", flush=True)
            from analyzer.notify.notifier import Notifier  # nobody need wait for it

            notifier = told_by = Notifier(settings.base, settings.config)
            notifier.start()

            def each_look() -> bool:
                publisher.tidy()
                return told_by.busy()

            run(settings, stop, publisher, publisher.done, each_look)
        finally:
            publisher.close()
            told = notifier is None or notifier.close(_NOTIFY_S)
            held.release()
    if not told:
        # What is being sent runs in threads that the interpreter would wait for, as long as the receiver likes.
        sys.stdout.flush()
        os._exit(service.EXIT_OK)
    return service.EXIT_OK


def try_notify(settings: Settings) -> int:
    """Try every receiver; returns the exit code."""
    from analyzer.notify.notifier import try_out
    from analyzer.notify.targets import AppriseMissing

    try:
        failed = try_out(settings.base, settings.config, lambda text: print(f"analyzer: {text}", file=sys.stderr))
    except ConfigRefused as error:
        print(f"analyzer: {error}", file=sys.stderr)
        return service.EXIT_USAGE
    except AppriseMissing as error:
        print(f"analyzer: {error}", file=sys.stderr)
        return service.EXIT_FAILED
    return service.EXIT_FAILED if failed else service.EXIT_OK


def _check(settings: Settings, strict: bool) -> None:
    """Refuse a wrong configuration while somebody looks; else the loop says it and goes on with the last good one."""
    try:
        tuning.load(settings.base, settings.config)
        if strict:
            from analyzer.notify.settings import load

            load(settings.base, settings.config)
    except ConfigRefused:
        if strict:
            raise


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(arguments)
    try:
        settings = from_environment(
            options.base_path,
            options.auto,
            config=options.config,
            scan_s=options.scan_interval,
            quiet_s=options.quiet,
            idle_s=options.idle,
        )
        if settings.config is not None or settings.base.is_dir():
            _check(settings, strict=not (options.worker or options.auto))
    except (SettingsRefused, ConfigRefused) as error:
        print(f"analyzer: {error}", file=sys.stderr)
        return service.EXIT_USAGE
    if options.test_notify:
        return try_notify(settings)
    if not options.worker and not options.auto:
        return service.supervise("analyzer", arguments)
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
