"""Buckets on the wire, and objects as scripts. The map of a block stands in `docs/decisions/0008-page-files.md`.

`encode` and `decode` are inverse up to F32 for values and milliseconds for times; steps are exact.
"""

from __future__ import annotations

import base64
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from renderer.live.buckets import BAD, HI, LO, MEAN, XHI, XLO, Floats, N, T, X

Block = dict[str, Any]

_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))  # fmt: skip
LARGEST_F32: Final = 3.4e38
SMALLEST_F32: Final = 1.2e-38
_LONGEST_MS: Final = 2**32 - 1
#: Whole numbers up to it are exact in F32.
_EXACT_F32: Final = 2**24
#: No milliseconds after `t0`, packed.
_NO_TIME: Final = base64.b64encode(bytes(4)).decode("ascii")


def json_for_script(data: Any) -> bytes:
    """JSON that is safe inside a `<script>` of a page, and as JavaScript. Non-finite numbers become null."""
    text = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    for char, escape in _ESCAPES:
        if char in text:
            text = text.replace(char, escape)
    return text


def script(data: Any) -> bytes:
    """An object as the script that hands it to the page."""
    return b"avaliacoes(" + json_for_script(data) + b");\n"


def encode(series: int, k: int, begin: int, rows: Floats) -> Block:
    """The block of buckets `rows` (three rows where `k` is 1, else nine, see `pyramid`), the first of which is number `begin`."""
    if rows.shape[1] == 1 and k > 1:
        return _encode_one(series, k, begin, rows[:, 0].tolist())
    x, times = rows[X], rows[T]
    block: Block = {"id": series, "k": k, "from": begin, "len": rows.shape[1], "x": _steps(x)}
    _times(block, times)
    values = (MEAN,) if k == 1 else (MEAN, LO, HI)
    wide = _too_wide(rows[list(values)])
    if wide:
        block["wide"] = True
    for name, row in zip(("mean", "lo", "hi"), values, strict=False):
        block[name] = _pack(rows[row], "<f8" if wide else "<f4")
    if k > 1:
        back = x - rows[XLO], x - rows[XHI]
        near = all(bool(((np.abs(far) < _EXACT_F32) & (far == np.floor(far))).all()) for far in back)
        if near:
            block["near"] = True
            block["xlo"], block["xhi"] = _pack(back[0], "<f4"), _pack(back[1], "<f4")
        else:
            block["xlo"], block["xhi"] = _pack(rows[XLO], "<f8"), _pack(rows[XHI], "<f8")
        whole = rows[N] == k
        if bool(whole[:-1].all()):
            block["n"] = None if bool(whole.all()) else int(rows[N, -1])
        else:
            block["n"] = _pack(rows[N], "<u4")
        block["bad"] = _pack(rows[BAD], "<u4") if bool(rows[BAD].any()) else None
    return block


def _encode_one(series: int, k: int, begin: int, row: list[float]) -> Block:
    """As `encode`, for a single bucket: of a long history, what a refresh tells of a series."""
    x = row[X]
    values = (row[MEAN], row[LO], row[HI])
    wide = any(abs(value) > LARGEST_F32 or 0 < abs(value) < SMALLEST_F32 for value in values)
    back = (x - row[XLO], x - row[XHI])
    near = all(abs(far) < _EXACT_F32 and far == int(far) for far in back)
    block: Block = {"id": series, "k": k, "from": begin, "len": 1, "x": [_short(x), 1]}
    if abs(row[T]) < 1e12:
        block["t0"], block["t"] = row[T], _NO_TIME
    else:
        block["t"] = _pack_few("<d", row[T])
    if wide:
        block["wide"] = True
    for name, value in zip(("mean", "lo", "hi"), values, strict=True):
        block[name] = _pack_few("<d" if wide else "<f", value)
    if near:
        block["near"] = True
    for name, step, far in (("xlo", row[XLO], back[0]), ("xhi", row[XHI], back[1])):
        block[name] = _pack_few("<f", far) if near else _pack_few("<d", step)
    block["n"] = None if row[N] == k else int(row[N])
    block["bad"] = _pack_few("<I", int(row[BAD])) if row[BAD] else None
    return block


def _pack_few(kind: str, value: float) -> str:
    return base64.b64encode(struct.pack(kind, value)).decode("ascii")


def _steps(x: Floats) -> Any:
    """Steps as `[first, step]` where they are evenly spaced, `[first, step, last]` where all but the last are."""
    size = len(x)
    if size:
        step = float(x[1] - x[0]) if size > 1 else 1.0
        if abs(x[0]) < 2**53 and step == int(step):
            even = x == x[0] + step * np.arange(size)
            if bool(even[:-1].all()):
                pair = [_short(float(x[0])), _short(step)]
                return pair if even[-1] else [*pair, _short(float(x[-1]))]
    return _pack(x, "<f8")


def _short(value: float) -> float | int:
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _times(block: Block, times: Floats) -> None:
    if len(times):
        begin = float(times.min())
        after = (times - begin) * 1000
        if after.max() < _LONGEST_MS and abs(begin) < 1e12:
            block["t0"], block["t"] = begin, _pack(np.rint(after), "<u4")
            return
    block["t"] = _pack(times, "<f8")


def _too_wide(values: Floats) -> bool:
    """Whether F32 would make a finite value infinite, or one that is not zero zero."""
    size = np.abs(values)
    finite = np.isfinite(size)
    return bool((finite & ((size > LARGEST_F32) | ((size < SMALLEST_F32) & (size > 0)))).any())


def _pack(values: Floats, kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode("ascii")


def decode(block: Block) -> Floats:
    """The rows of a block, as `encode` took them."""
    k, size = int(block["k"]), int(block["len"])
    rows = np.empty((3 if k == 1 else 9, size))
    held = block["x"]
    rows[X] = held[0] + held[1] * np.arange(size) if isinstance(held, list) else _unpack(held, "<f8")
    if isinstance(held, list) and len(held) > 2:
        rows[X, -1] = held[2]
    rows[T] = block["t0"] + _unpack(block["t"], "<u4") / 1000 if "t0" in block else _unpack(block["t"], "<f8")
    kind = "<f8" if block.get("wide") else "<f4"
    rows[MEAN] = _unpack(block["mean"], kind)
    if k > 1:
        rows[LO], rows[HI] = _unpack(block["lo"], kind), _unpack(block["hi"], kind)
        for row, name in ((XLO, "xlo"), (XHI, "xhi")):
            rows[row] = rows[X] - _unpack(block[name], "<f4") if block.get("near") else _unpack(block[name], "<f8")
        rows[BAD] = 0 if block["bad"] is None else _unpack(block["bad"], "<u4")
        rows[N] = _unpack(block["n"], "<u4") if isinstance(block["n"], str) else k
        if isinstance(block["n"], int):
            rows[N, -1] = block["n"]
    return rows


def _unpack(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)
