"""The pages themselves, and the chart library beside them.

    <base>/dashboard_<session>.html              written when a session is first seen and once at its end, then with its data inside
    <base>/dashboard.html                        all sessions of the folder
    <base>/.avaliacoes/live/                     what pages read while they are open: `renderer.live`
    <base>/.avaliacoes/assets/plotly-<v>.min.js  the chart library, once per version

One program serves both: `static/page.tmpl` with styles and scripts put into it, and its facts as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib
import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from contract.places import own_dir
from renderer.live import folder
from renderer.live.blocks import json_for_script
from renderer.live.folder import write_atomic

__all__ = ["Kit", "all_page_file", "image_file", "is_final", "json_for_script", "page", "page_file", "prepare", "write_atomic"]  # fmt: skip

#: Of pages that hold their data inside; a page from an older version of this program has another.
FINAL: Final = "final 2"
LIVE: Final = "live 2"
PLOTLY: Final = "plotly"
IMAGE: Final = "image"
TABLES: Final = "tables"

#: The page's script, one file per idea; each may use those before it, at any time those after it.
SCRIPTS: Final = (
    "kit.js", "blocks.js", "data.js", "smooth.js", "tiles.js", "view.js", "marks.js", "lines.js", "figure.js", "canvas.js", "pinch.js", "charts.js", "readout.js",
    "panels.js", "alerts.js", "head.js", "runs.js", "summary.js", "keys.js", "app.js",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kit:
    """What pages of a data folder can draw with: `mode` is plotly, image or tables; `library` the file for plotly."""

    mode: str
    library: str = ""


def page_file(base: Path, session: str) -> Path:
    return base / f"dashboard_{session}.html"


def all_page_file(base: Path) -> Path:
    return base / "dashboard.html"


def image_file(base: Path, session: str) -> Path:
    return base / f"dashboard_{session}.png"


def prepare(base: Path) -> Kit:
    """Make the folders, copy the chart library if it is not there, and say what pages can draw with."""
    folder.prepare(base)
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
def _static(*names: str) -> str:
    """Files of the page, one after the other."""
    return "\n".join((importlib.resources.files("renderer") / "static" / name).read_text("utf-8") for name in names)


@cache
def _digest(*names: str) -> str:
    """How a content security policy allows exactly this inline text: no other inline script or style may be."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(_static(*names).encode()).digest()).decode()}'"


def page(session: str | None, kit: Kit, refresh: float, inside: list[dict[str, Any]] | None = None) -> bytes:
    """The page of a session, or of all (None).

    Args:
        session: its name.
        kit: what it can draw with.
        refresh: seconds between two looks at what is new.
        inside: manifest, base and alerts of an ended session: the page needs no other file then.
    """
    facts = {
        "session": session,
        "mode": kit.mode,
        "live": ".avaliacoes/live/",
        "plotly": kit.library,
        "image": f"dashboard_{session}.png" if session and kit.mode == IMAGE else "",
        "refresh": refresh,
        "inside": inside,
    }
    parts = {
        "kind": FINAL if inside else LIVE,
        "hash": _digest(*SCRIPTS),
        "stylehash": _digest("page.css"),
        "title": html.escape(session or "All runs"),
        "style": _static("page.css"),
        "page": json_for_script(facts).decode(),
        "script": _static(*SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _static("page.tmpl")).encode()


def is_final(path: Path) -> bool:
    """Whether a page holds its data inside, as it does once its session has ended."""
    try:
        with open(path, "rb") as file:
            return f"<!-- avaliacoes page {FINAL} -->".encode() in file.read(200)
    except OSError:
        return False
