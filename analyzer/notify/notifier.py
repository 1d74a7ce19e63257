"""The notifier's thread: reads the files of alerts, asks what is to be told, and has it sent.

It shares nothing with the analyzer's loop: a receiver that is slow or down holds up other messages at most. Where no
receiver is configured the thread only looks, once a second, whether one has been.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from analyzer.notify import message, settings, state
from analyzer.notify.groups import Groups
from analyzer.notify.targets import AppriseMissing, NotTaken, Target, open_targets
from contract import config, names
from contract.tail import Tail

#: Seconds between two looks; what comes late by this much is nothing beside `group_wait`.
_LOOK_S: Final = 1.0
#: What the folder holds when notifications are first switched on counts as told, but for files this young.
_RECENT_S: Final = 600.0
#: Bytes of one file of alerts taken at a time.
_CHUNK: Final = 1 << 20
_PREFIX: Final = f"{names.ALERTS}_"

Open = Callable[[Sequence[str]], list[Target]]


def _say(text: str) -> None:
    sys.stderr.write(f"analyzer: notify: {text}\n")
    sys.stderr.flush()


class Notifier:
    """Sends what `[notify]` of the configuration asks for.

    Args:
        base: the data folder.
        given: the configuration file, where it is not the folder's own.
        now: unix time.
        open_: makes receivers of URLs.

    `start` and `close` belong to the analyzer's main; `turn` is one round of the thread.
    """

    def __init__(
        self,
        base: Path,
        given: Path | None = None,
        now: Callable[[], float] = time.time,
        open_: Open = open_targets,
        say: Callable[[str], None] = _say,
    ) -> None:
        self._base = base
        self._given = given
        self._now = now
        self._open = open_
        self._say = say
        self._settings = settings.NotifySettings()
        self._targets: dict[str, Target] = {}
        self._state: state.State | None = None
        self._seen: tuple[int, int] | None = None
        self._said: set[str] = set()
        self._failing: set[str] = set()
        self._busy = True  # until the first round has seen otherwise
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    # Called by the analyzer

    def start(self) -> None:
        self._thread.start()

    def busy(self) -> bool:
        """Whether something is yet to be told or sent: an analyzer that is free to go should wait for that."""
        return self._busy

    def close(self, seconds: float) -> bool:
        """Tell at once what waits, try each letter once more, note the rest for the next analyzer.

        Returns:
            Whether that was done within `seconds`; False while a receiver still takes its time.
        """
        self._ending.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # The thread

    def _run(self) -> None:
        self._guarded()
        while not self._ending.wait(_LOOK_S):
            self._guarded()
        self._guarded(ending=True)

    def _guarded(self, ending: bool = False) -> None:
        try:
            self.turn(ending)
        except Exception as error:  # a full disk, a line by hand of a strange kind: one fault must not end the telling
            self._busy = False
            self._once(type(error).__name__, f"{type(error).__name__}: {error}; trying again")

    def turn(self, ending: bool = False) -> None:
        """One round: configuration, new alerts, decisions, letters."""
        self._take_config()
        if not self._targets:
            self._busy = False
            return
        if self._state is None:
            self._state = state.load(self._base)
            self._state.outbox.keep_only(self._targets)
        found = self._state
        changed = self._read(found)
        now = self._now()
        for group, decision in found.groups.due(self._settings, now, ending):
            written = message.compose(group, decision, self._base)
            for lost in found.outbox.post(written, self._targets, now):
                self._say(f"gave up {lost.title!r}: too many messages wait")
            found.groups.told(group, decision, now)
            changed = True
        found.groups.tidy(self._settings, now)
        if changed:
            state.save(self._base, found)
        self._send(found, ending)
        self._busy = bool(found.outbox.letters or found.groups.waiting(self._settings, self._now()))

    def _take_config(self) -> None:
        path = config.config_file(self._base, self._given)
        try:
            info = path.stat()
            seen = (info.st_mtime_ns, info.st_ino)
        except OSError:
            seen = (0, 0)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            fresh = settings.load(self._base, self._given)
            targets = {target.key: target for target in self._open(fresh.urls)}
        except (config.ConfigRefused, AppriseMissing) as error:
            self._say(f"{error}{'; what held before still holds' if self._targets else ''}")
            return
        self._settings, self._targets = fresh, targets
        if self._state is not None:
            self._state.outbox.keep_only(targets)
        if targets:
            self._say(f"telling {', '.join(target.name for target in targets.values())}")

    def _read(self, found: state.State) -> bool:
        """Take what the files of alerts have more; True when there was something."""
        changed = False
        there = set()
        with os.scandir(self._base) as entries:
            for entry in entries:
                split = names.split_file_name(entry.name) if entry.name.startswith(_PREFIX) else None
                if split is None or split[0] != names.ALERTS:
                    continue
                there.add(entry.name)
                try:
                    info = entry.stat()
                except OSError:  # deleted since
                    continue
                if entry.name not in found.positions:
                    old = not found.known and self._now() - info.st_mtime > _RECENT_S
                    found.positions[entry.name] = info.st_size if old else 0
                    changed = True
                if info.st_size != found.positions[entry.name]:
                    changed = self._read_file(found, Path(entry.path), split[1]) or changed
        for name in found.positions.keys() - there:
            del found.positions[name]
            changed = True
        changed = changed or not found.known
        found.known = True
        return changed

    def _read_file(self, found: state.State, path: Path, session: str) -> bool:
        tail = Tail(path, found.positions[path.name])
        if path.stat().st_size < tail.position:
            tail.position = 0  # replaced by a shorter one
        before = found.positions[path.name]
        events = tail.read_new(limit=_CHUNK)
        found.positions[path.name] = tail.position
        for event in events:
            found.groups.take(session, event, self._settings, self._now())
        return tail.position != before

    def _send(self, found: state.State, ending: bool) -> None:
        tried: set[int] = set()
        while letters := [one for one in found.outbox.ready(self._now(), ending) if id(one) not in tried]:
            for letter in letters:
                tried.add(id(letter))
                target = self._targets[letter.target]
                try:
                    target.send(letter.message)
                except NotTaken as error:
                    last = found.outbox.failed(letter, self._settings.retries, self._now())
                    self._not_taken(found, target, letter.title, last, error)
                else:
                    found.outbox.taken(letter)
                    if target.key in self._failing:
                        self._failing.discard(target.key)
                        self._say(f"{target.name} takes messages again")
                state.save(self._base, found)
                if self._ending.is_set() and not ending:
                    return

    def _not_taken(self, found: state.State, target: Target, title: str, given_up: bool, error: NotTaken) -> None:
        if given_up:
            count = found.outbox.counts["given_up"]
            self._say(
                f"{target.name}: gave up {title!r} after {self._settings.retries} tries: {error} ({count} so far)"
            )
        elif target.key not in self._failing:
            self._failing.add(target.key)
            self._say(f"{target.name}: {error}; trying again, with growing pauses")

    def _once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._say(text)

    @property
    def groups(self) -> Groups | None:
        """What is known of alerts, for tests and curious people."""
        return self._state.groups if self._state is not None else None


def try_out(base: Path, given: Path | None, say: Callable[[str], None]) -> int:
    """Send one message to every receiver and say what became of it; how many did not take it.

    Raises:
        contract.config.ConfigRefused: the configuration cannot be.
        AppriseMissing: apprise is not installed.
    """
    chosen = settings.load(base, given)
    if not chosen.urls:
        raise settings.NotifyRefused(
            f"{config.config_file(base, given)}: no receiver: expected urls = [...] in a section [notify]"
        )
    failed = 0
    for target in open_targets(chosen.urls):
        try:
            target.send(message.trial(base))
        except NotTaken as error:
            failed += 1
            say(f"{target.name}: {error}")
        else:
            say(f"{target.name}: sent")
    return failed
