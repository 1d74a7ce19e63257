"""Files that nobody meant to write: whatever the lines hold, pages and reports are made."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_pages import LivePage

from contract import places
from renderer import fallback, page, panels
from renderer.loop import Renderer
from renderer.report import write_report
from renderer.session import Session
from renderer.settings import Settings

ODD = st.sampled_from([
    None, True, 0, -1, 2**62, -(2**63), 1e300, -1e-320, 1e308, "NaN", "Infinity", "-Infinity", "", "$x_1^", "<b>", "ERROR", [], [1], {}, {"a": {"b": 1}},
])  # fmt: skip
KEYS = st.sampled_from([
    "_p", "_q", "timestamp", "step", "loss", "learning_rate", "grad_norm", "grad_norm_a", "grad_zeros_ratio", "episode_reward", "component", "components",
    "event", "status", "error", "dropped", "producer", "host", "rule", "level", "state", "message", "metric", "source", "id", "$x", "_hidden", "",
])  # fmt: skip
VALUES = st.one_of(
    ODD, st.floats(-1e3, 1e3), st.sampled_from(["start", "heartbeat", "gap", "end", "adopted", "firing", "resolved"])
)
LINES = st.one_of(st.dictionaries(KEYS, VALUES, max_size=9), ODD)
CATEGORIES = ("training", "gradients", "rewards", "lifecycle", "alerts")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(CATEGORIES), LINES), min_size=1, max_size=12))
def test_any_lines_make_pages_and_reports(lines: list[tuple[str, object]]) -> None:
    """No JSON in any data file stops the renderer or the report; what comes out is JSON again."""
    with tempfile.TemporaryDirectory() as folder:
        base = places.prepare_base(Path(folder) / "data")
        for category, record in lines:
            with open(base / f"{category}_s.jsonl", "ab") as file:
                file.write(orjson.dumps(record) + b"\n")
        (base / ".avaliacoes" / "assets").mkdir()
        for now in (time.time(), 1e9):
            renderer = Renderer(Settings(base), complain=lambda text: None)
            renderer.kit = page.Kit(page.PLOTLY, "x.js")
            renderer.step(now)
            for path in (base / ".avaliacoes" / "live").rglob("*.js"):
                orjson.loads(path.read_bytes().removeprefix(b"avaliacoes(").removesuffix(b");\n"))
            LivePage(base, "s").refresh()
        orjson.loads(write_report(base, "s").with_suffix(".json").read_bytes())


def test_extreme_values_can_be_drawn_as_a_picture(tmp_path: Path) -> None:
    """Values at the limits of floats, formulas in names and charts of one point do not stop the picture."""
    base = places.prepare_base(tmp_path / "data")
    rows = [{"step": i, "loss": v, "$a_{": v, "grad_norm": v} for i, v in enumerate([1e308, -1e308, "NaN", 0, 1e-320])]
    for category in ("training", "gradients", "rewards"):
        (base / f"{category}_s.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    renderer = Renderer(Settings(base), complain=lambda text: None)
    renderer.step(time.time())
    session = Session(base, "s")
    for category in ("training", "gradients", "rewards"):
        session.add_file(category, base / f"{category}_s.jsonl")
    session.poll()
    assert fallback.draw(panels.panels(session, renderer.config), "$s_{").startswith(b"\x89PNG")
