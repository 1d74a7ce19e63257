"""The rim: reports to files. Each is written beside its place and renamed into it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from renderer import fallback
from renderer.report import comparison, html, markdown
from renderer.report.analysis import Analysis, analyse
from renderer.report.reading import COMPUTED, Judged, read

FORMATS: Final = ("html", "md", "json", "png")
#: A name for a comparison longer than this is cut, and a digest of the sessions tells it apart.
_NAME_CHARS: Final = 120
_OLD_REPORT_BYTES: Final = 20 << 20


def report_file(base: Path, session: str) -> Path:
    return base / f"report_{session}.html"


def comparison_file(base: Path, sessions: Sequence[str]) -> Path:
    name = "_vs_".join(sessions)
    if len(name) > _NAME_CHARS:
        digest = hashlib.blake2b("/".join(sessions).encode(), digest_size=4).hexdigest()
        name = f"{sessions[0][: _NAME_CHARS - 30]}_and_{len(sessions) - 1}_more_{digest}"
    return base / f"report_compare_{name}.html"


def write_report(
    base: Path, session: str, form: str = "html", target: Path | None = None, judged: Judged | None = None
) -> Path:
    """Write the report of a session and return the path of the file in format `form`; with html, JSON and Markdown beside it.

    Args:
        base: the data folder.
        session: its name.
        form: one of `FORMATS`.
        target: where to; by default `report_<session>.<form>` in the data folder. A folder takes a file of that name.
        judged: alerts to tell where no analyzer stored any; without them those that an earlier report of the session was
            given are told again.

    Raises:
        contract.names.NameRefused: not a session name.
        NoSuchSession: there are no files of that session.
        ImportError: a PNG without matplotlib.
        OSError: the file cannot be written.
    """
    made = analyse(read(base, session, judged or _judged_before(base, session)), time.time())
    path = _place(report_file(base, session), form, target)
    return _write(
        path, form, made.numbers, lambda: html.page(made), lambda: markdown.page(made.numbers), lambda: _picture(made)
    )


def numbers(base: Path, session: str, judged: Judged | None = None) -> dict[str, Any]:
    """The numbers of a session's report, see `write_report` for what is raised. Writes nothing."""
    return analyse(read(base, session, judged or _judged_before(base, session)), time.time()).numbers


def compare_numbers(base: Path, sessions: Sequence[str], judged: Mapping[str, Judged] | None = None) -> dict[str, Any]:
    """The numbers of a comparison, see `write_report` for what is raised. Writes nothing."""
    return comparison.compare(_all(base, sessions, judged or {})).numbers


def write_comparison(
    base: Path,
    sessions: Sequence[str],
    form: str = "html",
    target: Path | None = None,
    judged: Mapping[str, Judged] | None = None,
) -> Path:
    """Write a comparison of several sessions, otherwise as `write_report`."""
    made = comparison.compare(_all(base, sessions, judged or {}))
    path = _place(comparison_file(base, sessions), form, target)
    return _write(path, form, made.numbers, lambda: comparison.page(made), lambda: comparison.text_page(made.numbers),
                  lambda: fallback.overlay(made.title, made.lines(), made.metric))  # fmt: skip


def _all(base: Path, sessions: Sequence[str], judged: Mapping[str, Judged]) -> list[Analysis]:
    now = time.time()
    found = []
    for name in sessions:
        made = analyse(read(base, name, judged.get(name) or _judged_before(base, name)), now)
        made.panels = []  # a comparison draws none, and of many sessions they would fill the memory
        found.append(made)
    return found


def _judged_before(base: Path, session: str) -> Judged | None:
    """Alerts that an earlier report of the session was given."""
    path = report_file(base, session).with_suffix(".json")
    try:
        if path.stat().st_size > _OLD_REPORT_BYTES:
            return None
        before = orjson.loads(path.read_bytes())["alerts"]
        if before["source"] != COMPUTED:
            return None
        return Judged(
            [row for row in before["rows"] if isinstance(row, dict)], int(before["judged_records"]), folded=True
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(usual: Path, form: str, target: Path | None) -> Path:
    if form not in FORMATS:
        raise ValueError(f"unknown format {form!r:.40}; expected one of {', '.join(FORMATS)}")
    usual = usual.with_name(f"{usual.name.removesuffix('.html')}.{form}")
    return usual if target is None else target / usual.name if target.is_dir() else target


def _write(path: Path, form: str, plain: dict[str, Any], page: Any, text: Any, picture: Any) -> Path:
    if form == "png":
        _put(path, picture())
        return path
    if form in ("html", "json"):
        _put(
            path if form == "json" else _beside(path, "json"),
            orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n",
        )
    if form in ("html", "md"):
        _put(path if form == "md" else _beside(path, "md"), text().encode("utf-8", "replace"))
    if form == "html":
        _put(path, page().encode("utf-8", "replace"))
    return path


def _beside(path: Path, ending: str) -> Path:
    # Not with_suffix: a session's name may hold dots.
    return path.with_name(f"{path.name.removesuffix('.html')}.{ending}")


def _picture(made: Analysis) -> bytes:
    said = made.numbers["verdict"]
    return fallback.draw(made.panels, made.numbers["facts"]["session"], said["sentence"])


def _put(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name[:180]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
