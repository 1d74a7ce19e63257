"""The newest record of a block, for statistics: looked up when somebody asks, so that no log call pays for it."""

from __future__ import annotations

from typing import Any

import msgpack


def newest(block: memoryview, size: int, count: int) -> bytes | None:
    """The last of the `count` packed records in the first `size` bytes; None if there is none, or the block was overwritten meanwhile."""
    if not count:
        return None
    data = bytes(block[:size])
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    try:
        for _ in range(count - 1):
            unpacker.skip()
    except Exception:  # msgpack raises many kinds on bytes that are no records
        return None
    return data[unpacker.tell() :]


def unpacked(packed: bytes) -> dict[str, Any]:
    """A packed record as its reader sees it."""
    timestamp, step, metrics = msgpack.unpackb(packed, strict_map_key=False)
    return {"timestamp": timestamp, "step": step, **metrics}
