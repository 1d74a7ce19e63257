"""Pictures of sessions, where plotly is missing and pages cannot draw by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from renderer import fallback, page, panels
from renderer.session import Session

#: A picture takes a third of a second to draw.
EVERY_S: Final = 5.0


class Pictures:
    """Draws `dashboard_<session>.png`; a picture looks at a session as the report does, so it is read for it apart."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._sessions: dict[str, Session] = {}
        self._drawn: dict[str, float] = {}

    def drawn(self, name: str) -> float:
        """Unix time of a session's picture, 0 while there is none."""
        return self._drawn.get(name, 0.0)

    def forget(self, name: str | None = None) -> None:
        """Let go of a session that has ended, or of all: they are read anew."""
        for gone in [name] if name is not None else list(self._sessions):
            self._sessions.pop(gone, None)

    def draw(self, name: str, files: Mapping[str, Path], config: Mapping[str, Any], now: float, every: float) -> None:
        """Draw a session's picture if the last one is `every` seconds old.

        Raises:
            ValueError, ArithmeticError: matplotlib's, on values or texts that it cannot place.
            OSError: it cannot be written.
        """
        if now - self.drawn(name) < every:
            return
        session = self._sessions.get(name)
        if session is None:
            points, window = int(config["history_window"]), int(config["moving_average_window"])
            session = self._sessions[name] = Session(self.base, name, points, window)
        for category, path in files.items():
            session.add_file(category, path)
        while session.poll()[1]:
            pass
        try:
            picture = fallback.draw(panels.panels(session, dict(config)), name)
        except (ValueError, ArithmeticError):
            self._drawn[name] = now
            raise
        page.write_atomic(self.base, page.image_file(self.base, name), picture)
        self._drawn[name] = now
