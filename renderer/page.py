"""Plain data to files: the page, its data file, and the chart library beside them.

    <base>/dashboard_<session>.html              the page: small; written when a session is first seen and once at its end,
                                                 then with the data inside
    <base>/.avaliacoes/live/<session>.js         the data, rewritten whole: `avaliacoesData({...})`
    <base>/.avaliacoes/assets/plotly-<v>.min.js  the chart library, once per version

A page opened from disk may not fetch, but it may load a script again and again; so the data is a script. Every file is
written beside its place and renamed into it: a reader sees the old one or the new one. Text from outside travels only
as JSON in which `<`, `>`, `&` and the line separators of JavaScript are escaped, and is put into the page as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib
import importlib.resources
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from contract.places import own_dir

FINAL: Final = "final"
LIVE: Final = "live"
PLOTLY: Final = "plotly"
IMAGE: Final = "image"
TABLES: Final = "tables"

#: The page's script, one file per idea; each may use those before it, at any time those after it.
SCRIPTS: Final = ("kit.js", "data.js", "smooth.js", "tiles.js", "view.js", "figure.js", "charts.js", "readout.js", "panels.js", "alerts.js", "head.js", "runs.js", "app.js")  # fmt: skip

_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kit:
    """What pages of a data folder can draw with: `mode` is plotly, image or tables; `library` the file for plotly."""

    mode: str
    library: str = ""


def page_file(base: Path, session: str) -> Path:
    return base / f"dashboard_{session}.html"


def image_file(base: Path, session: str) -> Path:
    return base / f"dashboard_{session}.png"


def live_file(base: Path, session: str) -> Path:
    return own_dir(base) / "live" / f"{session}.js"


def json_for_script(data: Any) -> bytes:
    """JSON that is safe inside a `<script>` of a page, and as JavaScript. Non-finite numbers become null."""
    text = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    for char, escape in _ESCAPES:
        text = text.replace(char, escape)
    return text


def write_atomic(base: Path, path: Path, content: bytes) -> None:
    """Put `content` at `path`, inside data folder `base`, in one step. Raises `OSError` (a full disk, no permission)."""
    temporary = own_dir(base) / "live" / f"{path.name}.{os.getpid()}.tmp"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def prepare(base: Path) -> Kit:
    """Make the folders, copy the chart library if it is not there, and say what pages can draw with."""
    (own_dir(base) / "live").mkdir(mode=0o700, parents=True, exist_ok=True)
    assets = own_dir(base) / "assets"
    assets.mkdir(mode=0o700, exist_ok=True)
    try:
        # Only the package's data file is wanted: its Python side takes long to import and much memory.
        plotly = importlib.import_module("plotly")
        source = importlib.resources.files("plotly") / "package_data" / "plotly.min.js"
        name = f"plotly-{re.sub('[^0-9A-Za-z.]', '', str(plotly.__version__))}.min.js"
        target = assets / name
        if not target.is_file() or not target.stat().st_size:
            write_atomic(base, target, source.read_bytes())
        return Kit(PLOTLY, f".avaliacoes/assets/{name}")
    except (ImportError, FileNotFoundError, AttributeError):
        pass
    try:
        importlib.import_module("matplotlib")
        return Kit(IMAGE)
    except ImportError:
        return Kit(TABLES)


@cache
def _static(name: str) -> str:
    return (importlib.resources.files("renderer") / "static" / name).read_text("utf-8")


@cache
def _script() -> tuple[str, str]:
    """The page's script and its hash for the content security policy: no other inline script may run."""
    text = "\n".join(map(_static, SCRIPTS))
    return text, _digest(text)


def _digest(text: str) -> str:
    """The source expression by which a content security policy allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(session: str | None, kit: Kit, refresh: float, data: list[dict[str, Any]] | None = None) -> bytes:
    """The page of a session, or of all (None); with `data` (what its files would say) inside it needs them no more."""
    script, digest = _script()
    facts = {
        "session": session,
        "mode": kit.mode,
        "live": ".avaliacoes/live",
        "plotly": kit.library,
        "image": f"dashboard_{session}.png",
        "refresh": refresh,
        "data": data,
    }
    parts = {
        "kind": FINAL if data else LIVE,
        "hash": digest,
        "stylehash": _digest(_static("page.css")),
        "title": html.escape(session or "Runs"),
        "style": _static("page.css"),
        "page": json_for_script(facts).decode(),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _static("page.tmpl")).encode()


def is_final(path: Path) -> bool:
    """Whether a page holds its data inside, as it does once its session has ended."""
    try:
        with open(path, "rb") as file:
            return f"<!-- avaliacoes page {FINAL} -->".encode() in file.read(200)
    except OSError:
        return False


def write_live(base: Path, session: str, data: dict[str, Any]) -> int:
    """Rewrite the data file of a session; returns its size in bytes."""
    content = b"avaliacoesData(" + json_for_script(data) + b");\n"
    write_atomic(base, live_file(base, session), content)
    return len(content)
