"""Records of a stretch of one series: what is asked, what is refused, what comes."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import places
from renderer.loop import Renderer
from renderer.serve import window
from renderer.serve.access import Access
from renderer.serve.app import Answer, App
from renderer.serve.checks import Hosts
from renderer.settings import Settings

SESSION = "run_20250101_000000"
GOOD = f"session={SESSION}&series=3&x0=0&x1=1e6"
BAD = {
    "": "session is missing",
    "session=a": "series is missing",
    GOOD.replace("series=3", "series=-1"): "whole number",
    GOOD.replace("series=3", "series=1.5"): "whole number",
    GOOD.replace("series=3", "series=" + "9" * 2000): "at most",
    GOOD.replace("x0=0", "x0=nan"): "finite",
    GOOD.replace("x1=1e6", "x1=inf"): "finite",
    GOOD.replace("x0=0", "x0=2e6"): "x0 <= x1",
    GOOD.replace("x0=0", "x0="): "finite",
    GOOD.replace(SESSION, "../../etc"): "session name",
    GOOD.replace(SESSION, "a%00b"): "session name",
    GOOD.replace(SESSION, "%ff"): "query",
    GOOD + "&limit=0": "from 1 to",
    GOOD + "&limit=50001": "from 1 to",
    GOOD + "&limit=x": "from 1 to",
    GOOD + "&series=4": "twice",
    GOOD + "&path=/etc": "unknown parameter",
    GOOD + "&a=1" * 30: "query",
}


def _ask(app: App, query: str) -> Answer:
    scope = {"type": "http", "method": "GET", "raw_path": b"/api/window", "query_string": query.encode(), "headers": [(b"host", b"localhost")]}  # fmt: skip
    return asyncio.run(app.answer(scope))


def _app(base: Path, read: window.Reader | None) -> App:
    return App(base, Hosts("127.0.0.1", 80), Access(None, 80), read)


@pytest.mark.parametrize(("query", "why"), BAD.items())
def test_a_bad_query_is_refused_by_words(tmp_path: Path, query: str, why: str) -> None:
    """What is missing, unknown, no number or out of range gives 400 and says what was expected; nothing is read."""

    def never(*_: Any) -> None:
        raise AssertionError("read for a bad query")

    answer = _ask(_app(tmp_path, never), query)
    assert answer.status == 400 and why in answer.body.decode()


def test_the_block_comes_as_it_is_read(tmp_path: Path) -> None:
    """The reader gets exactly what was asked, the limit bounded; a series that is not there is a 404; without a reader a 501."""
    asked: list[tuple[Any, ...]] = []

    def read(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        if arguments[2] == 9:
            raise KeyError(9)
        return {"id": 3, "k": 1, "from": 0, "len": 0, "wide": False}

    app = _app(tmp_path, read)
    answer = _ask(app, GOOD)
    assert (answer.status, answer.media) == (200, "application/json") and json.loads(answer.body)["id"] == 3
    assert asked == [(tmp_path, SESSION, 3, 0.0, 1e6, window.DEFAULT_LIMIT)]
    assert _ask(app, GOOD.replace("series=3", "series=9")).status == 404
    assert _ask(_app(tmp_path, None), GOOD).status == 501


def test_long_reads_wait_for_their_turn(tmp_path: Path) -> None:
    """However many ask at once, two read and a few wait; the others are told to come again, and none is forgotten."""
    import threading

    running, most, gate = 0, 0, threading.Lock()

    def read(*_: Any) -> dict[str, Any]:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with gate:
            running -= 1
        return {}

    app = _app(tmp_path, read)
    scope = {"type": "http", "method": "GET", "raw_path": b"/api/window", "query_string": GOOD.encode(), "headers": [(b"host", b"localhost")]}  # fmt: skip

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(app.answer(dict(scope)) for _ in range(40)))

    found = [answer.status for answer in asyncio.run(all_at_once())]
    assert most <= 2 and found.count(200) == 18 and found.count(503) == 22


def test_a_query_over_the_wire(serve: Callable[..., Any], filled: Path) -> None:
    """Through the real server a bad query is a 400 and a session without an index is not found."""
    server = serve(filled)
    assert server.get("/api/window?session=..").status == 400
    assert server.get(f"/api/window?{GOOD}").status == 404


def test_every_record_of_a_window(serve: Callable[..., Any], place: Path) -> None:
    """What the renderer has thinned on the page comes record by record, as it was logged; the limit bounds what comes."""
    places.prepare_base(place)
    values = [math.sin(step) if step % 100 else math.nan for step in range(5000)]
    lines = [
        {"_p": "0123456789ab", "_q": n, "timestamp": 1e9 + n, "step": n, "loss": v if v == v else "NaN"}
        for n, v in enumerate(values)
    ]
    (place / "training_s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Renderer(Settings(place), complain=lambda text: None).catch_up(NotAsked())
    (base,) = (place / ".avaliacoes/live/s").glob("base-*.js")
    text = base.read_text()
    series = json.loads(text[text.index("{") : text.rindex("}") + 1])["series"]
    number = next(one["id"] for one in series if one["metric"] == "loss")
    server = serve(place)
    found = server.get(f"/api/window?session=s&series={number}&x0=1000&x1=1999")
    block = json.loads(found.body)
    assert found.headers["cache-control"] == "no-store" and (block["k"], block["len"]) == (1, 1000)
    mean = struct.unpack("<1000f", base64.b64decode(block["mean"]))
    assert all(a == pytest.approx(b, abs=1e-6, nan_ok=True) for a, b in zip(mean, values[1000:2000], strict=True))
    small = json.loads(server.get(f"/api/window?session=s&series={number}&x0=0&x1=1e9&limit=100").body)
    assert small["len"] <= 100 and small["k"] > 1
    assert server.get(f"/api/window?session=s&series={number + 1000}&x0=0&x1=1").status == 404


class NotAsked:
    """A request to end that never comes."""

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        return False
