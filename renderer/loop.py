"""The renderer's loop: looks at the folder, reads what is new, writes what changed. One owner of all state.

Sessions whose trainer lives are read each refresh. One that has ended gets its final page once, with the data inside,
and is forgotten; it comes back only when its files change. When a round takes long, the next waits ten times as long:
the renderer shares the machine with the training and takes at most a tenth of one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from contract import places, service
from contract import settings as shared
from renderer import find, page, report
from renderer.live import describe, folder, runs
from renderer.live.model import Model
from renderer.live.writer import SessionFiles
from renderer.pictures import EVERY_S, Pictures
from renderer.settings import Settings

#: Old sessions that get a page when they have none, one after the other: enough to compare a sweep.
OLD_PAGES: Final = 60
#: Sessions kept in memory, at most some ten megabytes each; the one untouched for longest is read anew when it changes again.
MAX_OPEN: Final = 32
#: Sessions that may fill their whole budget of levels; more of them share what these would have.
_FULL_SESSIONS: Final = 8
#: The manifest of a live session is rewritten at least this often: that is how its page knows that the renderer lives.
SIGN_OF_LIFE_S: Final = 5.0
SHARE_OF_TIME: Final = 10.0
#: A session whose files were written this recently may be alive, however many newer ones there are.
_RECENT_S: Final = 120.0
#: Reading of one round ends after this long: what is left waits for the next, and a request to end is heard.
_READING_S: Final = 1.0
#: A page that an earlier renderer filled keeps what it shows for so long, while the history is read again.
_PATIENCE_S: Final = 4.0
#: A look at a folder of thousands of files takes long: then it is looked at less often.
_LOOK_SHARE: Final = 50.0
_QUICK_LOOK_S: Final = 0.02
_COMPLAIN_EVERY_S: Final = 60.0


class Stop(Protocol):
    """What asks the loop to end (`contract.service.Stop`)."""

    def is_set(self) -> bool: ...
    def wait(self, seconds: float) -> bool: ...


@dataclass(slots=True)
class _Open:
    """A session in memory, and what has been written of it."""

    model: Model
    files: SessionFiles
    found: find.Found
    since: float
    shell: bool = False
    dirty: bool = True
    behind: bool = True
    state: str = ""
    read_at: float = 0.0
    written: float = 0.0
    told: float = 0.0


class Renderer:
    """All pages of one data folder. `step(now)` is one round; the caller decides when."""

    def __init__(self, settings: Settings, complain: Callable[[str], None] | None = None) -> None:
        self.base: Path = settings.base
        self.settings = settings
        self.config: dict[str, Any] = {}
        self.renders = 0
        self.failures = 0
        self._complain = complain or (lambda text: print(f"renderer: {text}", file=sys.stderr, flush=True))  # noqa: T201
        self._complained = 0.0
        self._open: dict[str, _Open] = {}
        self._done: dict[str, tuple[float, int]] = {}
        self._runs = runs.Runs(self.base)
        self._pictures = Pictures(self.base)
        self._services: dict[str, bool] = {}
        self._ending = False
        self._waiting = False
        self._config_seen: int | None = -1
        self._all_page = False
        self._looked = self._look_s = 0.0
        self._swept: frozenset[str] | None = None
        self.kit = page.prepare(self.base)
        if self.kit.mode != page.PLOTLY:
            rest = "drawing pictures with matplotlib" if self.kit.mode == page.IMAGE else "pages have tables only"
            self._complain(f"plotly cannot be imported, {rest}; `pip install plotly` brings the interactive charts")
        self._load_config()

    @property
    def catching_up(self) -> bool:
        """Whether files hold more than has been read: then rounds follow one another with short pauses."""
        return any(one.behind for one in self._open.values())

    @property
    def refresh(self) -> float:
        return float(self.config["refresh_interval"])

    def _load_config(self) -> None:
        try:
            seen: int | None = places.monitor_file(self.base).stat().st_mtime_ns
        except OSError:
            seen = None
        if seen == self._config_seen:
            return
        self._config_seen = seen
        before, self.config = self.config, self.settings.over(shared.load(self.base))
        if not before:
            return
        if before["history_window"] != self.config["history_window"]:
            # Levels that were given up can only come from the files: read them again.
            self._open = {name: self._opened(name, one.found, time.time()) for name, one in self._open.items()}
        for one in self._open.values():
            one.dirty = True
        self._pictures.forget()

    def _opened(self, name: str, found: find.Found, now: float) -> _Open:
        model = Model(self.base, name, int(self.config["history_window"]))
        return _Open(model, SessionFiles(self.base, model), found, now)

    def step(self, now: float, last: bool = False) -> bool:
        """One round: look, read, write. True while a session is active or files are still being caught up with.

        Args:
            now: unix time.
            last: the renderer is about to end; pages are written even if their turn has not come.
        """
        self._load_config()
        self._look(now)
        services = {kind: service.is_running(self.base, kind) for kind in ("collector", "analyzer")}
        services["renderer"] = not self._ending
        if services != self._services:
            self._services = services
            for one in self._open.values():
                one.dirty = True
        active = False
        enough = time.monotonic() + _READING_S
        for name, one in sorted(self._open.items(), key=lambda item: item[1].read_at):
            if time.monotonic() > enough:
                active = one.behind = True
                continue
            one.read_at = now
            try:
                self._read(one, now, enough)
                living = one.model.is_active(now)
                active = active or living or one.behind
                self._write(name, one, now, living, last)
            except OSError as error:
                one.dirty = True
                self._failed(name, error)
        self._write_all(now)
        return active

    def _read(self, one: _Open, now: float, enough: float) -> None:
        for category, path in one.found.files.items():
            one.model.add_file(category, path)
        share = min(1.0, _FULL_SESSIONS / len(self._open))
        while True:
            changed, one.behind = one.model.poll()
            one.dirty = one.dirty or changed
            one.model.fit(share * one.files.tile_budget)
            if not one.behind or time.monotonic() > enough:
                break
        state = one.model.state(now)
        one.dirty = one.dirty or state != one.state
        one.state = state

    def end(self, now: float) -> None:
        """The last round: pages of sessions that go on are told that nobody brings them up to date any more."""
        self._ending = True
        self.step(now, last=True)

    def catch_up(self, stop: Stop) -> None:
        """Bring every page up to date, and the reports that were written before their session ended."""
        self.step(time.time(), last=True)
        renders = 0
        while not stop.is_set() and (self.catching_up or (self._waiting and self.renders > renders)):
            renders = self.renders
            self.step(time.time(), last=True)
        for name, (newest, _) in self._done.items():
            written = report.report_file(self.base, name)
            if written.exists() and written.stat().st_mtime < newest:
                report.write_report(self.base, name)

    def _look(self, now: float) -> None:
        """Open the sessions that may be active or lack their final page; close the least recent beyond the limit."""
        if time.monotonic() - self._looked < _LOOK_SHARE * self._look_s:
            return
        work = time.thread_time()
        try:
            found = find.sessions(self.base)
        except OSError as error:
            self._failed("the folder", error)
            return
        # Its files would lie where the lines of all runs do.
        found.pop(folder.runs_file(self.base).name, None)
        for gone in [name for name in self._open if name not in found]:
            del self._open[gone]
        names = frozenset(found)
        if names != self._swept:
            folder.sweep(self.base, names)
            self._runs.only(names)
            self._swept = names
        self._looked, took = time.monotonic(), time.thread_time() - work
        self._look_s = took if took > _QUICK_LOOK_S else 0.0
        self._waiting = False
        newest = sorted(found, key=lambda name: -found[name].newest)
        for place, name in enumerate(newest):
            one = found[name]
            if name in self._open:
                self._open[name].found = one
                continue
            if self._done.get(name) == (one.newest, one.bytes):
                continue
            recent = now - one.newest < _RECENT_S
            if not recent and name not in self._done and self._has_page(name, one):
                self._done[name] = (one.newest, one.bytes)
                continue
            if not recent and place >= OLD_PAGES:
                self._done[name] = (one.newest, one.bytes)
                continue
            if len(self._open) >= MAX_OPEN and not self._close_one(one.newest):
                self._waiting = True
                continue
            self._open[name] = self._opened(name, one, now)
        if len(self._done) > 2 * len(found) + 100:
            self._done = {name: mark for name, mark in self._done.items() if name in found}

    def _has_page(self, name: str, one: find.Found) -> bool:
        path = page.page_file(self.base, name)
        return page.is_final(path) and path.stat().st_mtime >= one.newest and self._runs.recall(name)

    def _close_one(self, newer_than: float) -> bool:
        """Make room by dropping the open session whose files are oldest, if they are older than the newcomer's."""
        name = min(self._open, key=lambda known: self._open[known].found.newest)
        if self._open[name].found.newest >= newer_than:
            return False
        del self._open[name]
        return True

    def _write(self, name: str, one: _Open, now: float, living: bool, last: bool) -> None:
        path = page.page_file(self.base, name)
        if not one.shell or not path.exists():
            if not page.is_final(path) or living:
                page.write_atomic(self.base, path, page.page(name, self.kit, self.refresh))
            one.shell = True
        if one.behind and not last:
            shown = one.written or (folder.session_dir(self.base, name) / "manifest.js").exists()
            if shown and now - max(one.written, one.since) < _PATIENCE_S:
                return
        if not living and not one.behind:
            self._finish(name, one, now)
        elif one.dirty or now - one.written >= SIGN_OF_LIFE_S:
            self._draw_picture(name, one, now, every=EVERY_S)
            one.files.write(self.config, now, self._services, drawn=self._pictures.drawn(name), behind=one.behind)
            self._tell(name, one, now)
            one.dirty, one.written = False, now
            self.renders += 1

    def _tell(self, name: str, one: _Open, now: float) -> None:
        """The session's line on the page of all, now and then."""
        if now - one.told >= runs.EVERY_S or not self._runs.know(name):
            self._runs.put(describe.run(one.model, now, page.page_file(self.base, name).name, True))
            one.told = now

    def _finish(self, name: str, one: _Open, now: float) -> None:
        """The final page; then the session leaves memory until its files change."""
        self._draw_picture(name, one, now, every=0.0)
        manifest = one.files.write(self.config, now, self._services, drawn=self._pictures.drawn(name), last=True)
        inside = one.files.inside(manifest, self.config)
        path = page.page_file(self.base, name)
        page.write_atomic(self.base, path, page.page(name, self.kit, self.refresh, inside))
        self._runs.keep(describe.run(one.model, now, path.name, True))
        self.renders += 1
        self._done[name] = (one.found.newest, one.found.bytes)
        self._pictures.forget(name)
        del self._open[name]

    def _write_all(self, now: float) -> None:
        """The page of all, once, and its lines."""
        try:
            if not self._all_page or not page.all_page_file(self.base).exists():
                page.write_atomic(self.base, page.all_page_file(self.base), page.page(None, self.kit, self.refresh))
                self._all_page = True
            self._runs.write(now, self.refresh, SIGN_OF_LIFE_S)
        except OSError as error:
            self._failed("the page of all runs", error)

    def _draw_picture(self, name: str, one: _Open, now: float, every: float) -> None:
        if self.kit.mode != page.IMAGE:
            return
        try:
            self._pictures.draw(name, one.found.files, self.config, now, every)
        except (ValueError, ArithmeticError) as error:  # matplotlib's, on values or texts it cannot place
            self._failed(f"the picture of {name}", error)

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        now = time.monotonic()
        if now - self._complained > _COMPLAIN_EVERY_S or not self._complained:
            self._complained = now
            self._complain(f"could not write {what}: {error}; trying again ({self.failures} failures so far)")


def run(settings: Settings, stop: Stop, ready: Callable[[], None] = lambda: None) -> None:
    """Render until `stop` is set (or, started on demand, until nothing was active for a while); then once more."""
    renderer = Renderer(settings)
    ready()
    if settings.once:
        renderer.catch_up(stop)
        return
    quiet_since = time.monotonic()
    while True:
        begin, work = time.monotonic(), time.thread_time()
        if renderer.step(time.time()):
            quiet_since = begin
        elif settings.auto and begin - quiet_since > settings.idle_s:
            break
        cost = time.monotonic() - begin
        # Its share is of work, not of time: after a round in which it was frozen the page must not wait ten times as long.
        share = SHARE_OF_TIME * (time.thread_time() - work)
        # A history is read in seconds; until then nobody sees anything.
        pause = cost / 10 if renderer.catching_up else max(renderer.refresh - cost, share)
        if stop.wait(pause):
            break
    renderer.end(time.time())
