"""Which addresses exist. Pure: a path as it came over the wire to the file that it names, or to nothing.

    /                                          dashboard.html, the page of all runs
    /dashboard_<session>.html | .png           the page of one run, or its picture
    /report_<session>.html | .json | .md | .png
    /.avaliacoes/live/...                      what pages load again and again, see docs/decisions/0008-page-files.md
    /.avaliacoes/assets/<name>                 the chart library
    /data/<category>_<session>.jsonl           a data file, to keep
    /api/window                                records of a stretch of one series

This is a list of what may be read, not of what may not: keys, tokens, locks, sockets, claims, checkpoints, the spool and
whatever else lies in the folder have no address. No name needs a percent sign, so a path with one is no address either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from contract import names

HTML: Final = "text/html; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
MAX_PATH_CHARS: Final = 400

#: How long an answer may be kept: a file that is written once, for ever; one that is replaced, only if it is asked
#: again whether it still holds; a data file not at all.
FOREVER: Final = "private, max-age=31536000, immutable"
ASK_AGAIN: Final = "private, no-cache"
NEVER: Final = "no-store"

PAGE: Final = "page"
REPORT: Final = "report"
PART: Final = "part"
DOWNLOAD: Final = "download"
INDEX: Final = "index"
WINDOW: Final = "window"

_ENDINGS: Final = {
    ".html": HTML,
    ".js": SCRIPT,
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".jsonl": "application/x-ndjson",
}
_PAGE: Final = re.compile(r"/dashboard_(?P<session>[^/]+)(?:\.html|\.png)\Z")
_REPORT: Final = re.compile(r"/report_(?P<session>[^/]+)(?:\.html|\.json|\.md|\.png)\Z")
_DATA: Final = re.compile(r"/data/(?P<file>[^/]+\.jsonl)\Z")
_ASSET: Final = re.compile(
    r"/\.avaliacoes/assets/(?P<file>[A-Za-z0-9][A-Za-z0-9_.-]{0,100}\.(?:js|css|svg|png|woff2))\Z"
)
_LIVE: Final = re.compile(r"/\.avaliacoes/live/(?P<session>[^/]+)/(?P<file>[^/]+|tiles/[^/]+)\Z")
_LIVE_TOP: Final = re.compile(r"/\.avaliacoes/live/(?P<session>[^/]+)\.js\Z")
_NUMBERED: Final = re.compile(r"(?:base|segment|alerts)-[0-9]{1,15}\.js\Z")
_REPLACED: Final = re.compile(r"(?:manifest|recent|tiles/[0-9]{1,9}(?:-[0-9]{1,15}-[0-9]{1,15})?)\.js\Z")
_GENERATION: Final = re.compile(r"g=[A-Za-z0-9_-]{1,64}\Z")
#: A page asks again under an address that is used once: to keep the answer would fill the browser's cache in a day.
_STAMP: Final = re.compile(r"t=[0-9]{1,15}\Z")
_VERSION: Final = re.compile(r"-[0-9]+\.[0-9]|-[0-9a-f]{8,}[.-]")


@dataclass(frozen=True, slots=True)
class Target:
    """What an address is: `parts` of a file's path below the data folder (empty where it is no file)."""

    kind: str
    parts: tuple[str, ...] = ()
    media: str = HTML
    keep: str = ASK_AGAIN


def find(path: str, query: str = "") -> Target | None:
    """The target of a path exactly as it stands in the request line, without its query; None if there is no such address.

    Numbered parts of a page begin from 1 again in every generation of a session: they may be kept for ever only under an address
    that names theirs (`?g=<generation>`).

    >>> find("/dashboard_20250101_000000.html").parts
    ('dashboard_20250101_000000.html',)
    >>> find("/../etc/passwd"), find("/%2e%2e/x"), find("/.avaliacoes/keys/collector.key_secret")
    (None, None, None)
    """
    if len(path) > MAX_PATH_CHARS or not path.isascii():
        return None
    if path in ("/", "/dashboard.html"):
        return Target(INDEX, ("dashboard.html",))
    if path == "/api/window":
        return Target(WINDOW, keep=NEVER)
    for pattern, kind in ((_PAGE, PAGE), (_REPORT, REPORT)):
        if (found := pattern.match(path)) and _is_session(found["session"]):
            media = _media(path)
            return Target(kind if media == HTML else PART, (path[1:],), media)
    if found := _DATA.match(path):
        split = names.split_file_name(found["file"])
        if split is None or not _is_category(split[0]) or not _is_session(split[1]):
            return None
        return Target(DOWNLOAD, (found["file"],), _ENDINGS[".jsonl"], NEVER)
    if found := _ASSET.match(path):
        keep = FOREVER if _VERSION.search(found["file"]) else ASK_AGAIN
        return Target(PART, (".avaliacoes", "assets", found["file"]), _media(path), keep)
    return _live(path, query)


def _live(path: str, query: str) -> Target | None:
    if found := _LIVE_TOP.match(path):
        if not _is_session(found["session"]):
            return None
        return Target(PART, (".avaliacoes", "live", f"{found['session']}.js"), SCRIPT, _again(query))
    found = _LIVE.match(path)
    if found is None or not _is_session(found["session"]):
        return None
    numbered = _NUMBERED.match(found["file"]) is not None
    if not numbered and not _REPLACED.match(found["file"]):
        return None
    parts = (".avaliacoes", "live", found["session"], *found["file"].split("/"))
    return Target(PART, parts, SCRIPT, FOREVER if numbered and _GENERATION.match(query) else _again(query))


def _again(query: str) -> str:
    return NEVER if _STAMP.match(query) else ASK_AGAIN


def _media(path: str) -> str:
    return _ENDINGS[path[path.rindex(".") :]]


def _is_session(name: str) -> bool:
    try:
        names.check_session(name)
    except names.NameRefused:
        return False
    return True


def _is_category(name: str) -> bool:
    try:
        names.check_category(name)
    except names.NameRefused:
        return False
    return True
