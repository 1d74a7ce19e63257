"""One category of one producer: the log call on one side, a chain of chunks for the sender on the other.

The log call is a closure because a closure's cells are the fastest variables Python has; it packs, copies into the
current block, and publishes with one aligned store. It takes no lock that the sender holds for longer than it takes to
swap a block, does no I/O, and raises nothing. Where it was built, a compiled call (`producer.quick`) stands before it, does the
same for plain records, and leaves the rest to it; what the two share is the block's head word and the token.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from time import time as now
from types import CodeType, FrameType
from typing import Any, NamedTuple, Protocol

import msgpack

from contract.blocks import BLOCK_BYTES, HEAD_WORDS, pack_spool_head
from producer.nap import NEWS, SLEEPING, Nap
from producer.newest import newest
from producer.quick import compiled
from producer.ring import Ring
from producer.values import SUSPECT_BYTES, Converter, fits

#: `log(step, **metrics)`
Log = Callable[..., None]
_ONE_RECORD = 1 << 32
_TOKEN_WAIT_S = 0.2


class _Calls(NamedTuple):
    log: Log
    last: Callable[[], bytes | None]
    rotate: Callable[[], None]
    drain: Callable[[], None]
    reset: Callable[[], None]
    logged: Callable[[], int]


class Owner(Protocol):
    """What a stream needs of its producer."""

    producer_id: str
    session: str
    ring: Ring
    converter: Converter
    nap: Nap

    def may_log(self) -> bool: ...
    def tell(self) -> None: ...
    def heap_block(self) -> bool: ...
    def crowded(self, spare_blocks: int) -> None: ...


class Chunk:
    """Up to 64 KiB of packed records in a row: in a block of the ring, in the heap, or in a spool file."""

    __slots__ = ("block", "closed", "count", "first_seq", "head", "heads", "next", "size", "spool", "spool_at", "view")

    def __init__(self, first_seq: int, view: memoryview, heads: memoryview, head: int, block: int | None) -> None:
        self.first_seq = first_seq
        self.view: memoryview | None = view
        self.heads = heads
        self.head = head
        self.block = block
        self.closed = False
        self.size = 0
        self.count = 0
        self.spool: Path | None = None
        self.spool_at = 0
        self.next: Chunk | None = None

    def committed(self) -> tuple[int, int]:
        """(bytes, records) that are complete; one read of one word, so the two always agree."""
        if self.closed:
            return self.size, self.count
        word = self.heads[self.head]
        return word & 0xFFFFFFFF, word >> 32

    @property
    def end_seq(self) -> int:
        return self.first_seq + self.committed()[1]

    def payload(self, begin: int, end: int) -> bytes | memoryview:
        """Bytes of the chunk, from memory or from the spool.

        Raises:
            OSError: the spool file cannot be read.
        """
        if self.view is not None:
            return self.view[begin:end]
        if self.spool is None:
            raise OSError("chunk has neither memory nor file")
        with self.spool.open("rb") as file:
            file.seek(self.spool_at + begin)
            return file.read(end - begin)


class Stream:
    """The records of one (producer, category).

    `log` is the log call, `log(step, **metrics)`. `head` is the oldest chunk that is not wholly acknowledged; `acked` the next sequence the
    collector asks for. All but `log` belongs to the sender's thread.
    """

    def __init__(self, owner: Owner, category: str) -> None:
        self.owner = owner
        self.category = category
        self.tag = 0
        self.head: Chunk | None = None
        self.deferred: deque[tuple[float, Any, dict[str, Any]]] = deque()
        #: Records that found no room anywhere: they never got a sequence.
        self.refused = 0
        #: Records that had one and were given up with the oldest spool file.
        self.given_up = 0
        self.acked = 0
        #: Where to go back to: the end of the last batch that was acknowledged, in its chunk.
        self.base: Chunk | None = None
        self.base_byte = 0
        self.base_seq = 0
        self.cursor: Chunk | None = None
        self.cursor_byte = 0
        self.cursor_seq = 0
        self.sent_seq = 0
        self.moved_at = 0.0
        self.resent_at = 0.0
        calls = _recording(self)
        self.log, self.last, self.rotate, self.drain, self.reset, self.logged = calls

    def record(self, step: Any, metrics: dict[Any, Any]) -> None:
        """The log call for metrics that come as a dict, whatever their names are."""
        try:
            self.log(step, **metrics)
        except TypeError:  # a name that is no text, or is `step`: nothing else gets out of a log call
            self.log(step, **self.owner.converter.named(metrics))

    def stored(self) -> int:
        """How far this stream is stored, also where the sender sleeps and has not yet seen what the ring says."""
        if not self.tag:
            return self.acked
        return max(self.acked, min(self.owner.ring.live.stored(self.tag).next_seq, self.logged()))

    def seal(self, chunk: Chunk) -> tuple[bytes, bytes | memoryview]:
        """The closed chunk as an entry of the spool: its head, and its payload as it lies."""
        owner, payload = self.owner, chunk.payload(0, chunk.size)
        head = pack_spool_head(owner.producer_id, owner.session, self.category, chunk.first_seq, chunk.count, payload)
        return head, payload

    def move_to_ring(self, chunk: Chunk) -> bool:
        """Give a closed chunk of the heap a block of the ring; False when none is free."""
        if chunk.view is None:
            return False
        ring = self.owner.ring
        index = ring.put(self.tag, chunk.first_seq, chunk.count, chunk.view[: chunk.size])
        if index is None:
            return False
        start = ring.start_of(index)
        chunk.view, chunk.block = ring.view[start : start + BLOCK_BYTES], index
        return True


def _recording(stream: Stream) -> _Calls:
    owner = stream.owner
    # The lock is a list with one item: taking it out is as atomic as a Lock, at a third of its price. The item is the newest step.
    token: list[int] = [0]
    take, give = token.pop, token.append
    pack = msgpack.Packer(default=owner.converter.default, use_bin_type=True).pack
    deferred = stream.deferred
    nap = owner.nap
    signs = nap.signs
    chunk: Chunk | None = None
    buffer = heads = memoryview(bytearray(8)).cast("Q")
    start = limit = head = 0
    kept: bytes | None = None

    def log(step: Any, **metrics: Any) -> None:
        try:
            last_step = take()
        except IndexError:
            waited = wait_for_token()
            if waited is None:
                # Called again inside itself, by a signal handler or a value's own method: stored a moment later.
                deferred.append((now(), step, metrics))
                nap.wake()
                return
            (last_step,) = waited
        try:
            if type(step) is not int:
                step, metrics = owner.converter.step_of(step, metrics, last_step)
            try:
                packed = pack((now(), step, metrics))
            except Exception:
                packed = owner.converter.pack_slowly(now(), step, metrics)
            size = len(packed)
            if size > SUSPECT_BYTES and not fits(packed):
                packed = owner.converter.pack_slowly(now(), step, metrics)
                size = len(packed)
            word = heads[head]
            position = start + (word & 0xFFFFFFFF)
            if position + size > limit:
                if not open_block():
                    return
                word, position = 0, start
            buffer[position : position + size] = packed
            heads[head] = word + _ONE_RECORD + size  # from here on the record survives this process
            last_step = step
        except Exception:
            stream.refused += 1
        finally:
            give(last_step)
        if signs[0] or signs[1]:
            attend()

    def attend() -> None:
        if signs[SLEEPING]:
            nap.wake()
        if signs[NEWS]:
            owner.tell()

    def wait_for_token() -> tuple[int] | None:
        """The token of a thread that was interrupted in the middle of its call; None at once if it is this very one."""
        if _calling(sys._getframe(1).f_back, inside):
            return None
        deadline = monotonic() + _TOKEN_WAIT_S
        while monotonic() < deadline:
            sleep(0.0001)
            try:
                return (take(),)
            except IndexError:
                continue
        return None

    def close_block() -> None:
        nonlocal limit
        limit = -1
        if quick is not None:
            quick.shut()
        if chunk is not None and not chunk.closed:
            chunk.size, chunk.count = chunk.committed()
            chunk.closed = True

    def open_block() -> bool:
        """Swap to a fresh block; False (and counted) when no record may be taken any more."""
        nonlocal chunk, buffer, heads, start, limit, head
        if not owner.may_log():
            stream.refused += 1
            return False
        first_seq = chunk.end_seq if chunk is not None else 0
        ring = owner.ring
        if not stream.tag:
            stream.tag = ring.tag(stream.category)
        index = ring.take(stream.tag, first_seq)
        if index is not None:
            if index >= ring.n_blocks:
                owner.crowded(ring.spare_used)
            start = ring.start_of(index)
            fresh_buffer, fresh_heads, fresh_head = ring.view, ring.heads, index * HEAD_WORDS
        elif owner.heap_block():
            start = 0
            fresh_buffer = memoryview(bytearray(BLOCK_BYTES))
            fresh_heads, fresh_head = memoryview(bytearray(8)).cast("Q"), 0
        else:
            stream.refused += 1
            return False
        close_block()
        buffer, heads, head, limit = fresh_buffer, fresh_heads, fresh_head, start + BLOCK_BYTES
        fresh = Chunk(first_seq, buffer[start:limit], heads, head, index)
        if chunk is None:
            stream.head = fresh
        else:
            chunk.next = fresh
        chunk = fresh
        if quick is not None:
            quick.open(buffer, heads, head, start, limit)
        ring.live.note_current(stream.tag, index)
        if nap.relied and ring.used > ring.n_blocks // 8 and not ring.used % max(1, ring.n_blocks // 16):
            nap.wake()
        return True

    def last() -> bytes | None:
        """The newest record, packed; None before the first. From any thread: it is looked up in its block."""
        for _ in range(3):
            current = chunk
            found = _last_of(current) if current is not None and not current.closed else None
            if found is None or current is chunk:  # else the block may have been given to others meanwhile
                return found or kept
        return kept

    def rotate() -> None:
        """Close the current block, so that the sender may spool it."""
        nonlocal kept
        waited = wait_for_token()
        if waited is not None:
            try:
                if chunk is not None and not chunk.closed and chunk.committed()[1]:
                    kept = _last_of(chunk) or kept
                    close_block()
            finally:
                give(*waited)

    def drain() -> None:
        """Store what calls inside calls left behind. Called by the sender.

        A Ctrl-C that lands between the taking of the token and the `try` after it loses the token: it is not there, and
        no thread is in the middle of a call. A new one heals that.
        """
        if not deferred:
            return
        if not token:
            if any(_calling(frame, inside) for frame in sys._current_frames().values()) or token:
                return
            give(0)
        while deferred:
            timestamp, step, metrics = deferred.popleft()
            log(step, **{"timestamp": timestamp, **metrics})

    def reset() -> None:
        """Forget everything: this process is a fork's child and the blocks are its parent's."""
        nonlocal chunk, limit, start, head, pack, buffer, heads, nap, signs, kept
        nap, signs = owner.nap, owner.nap.signs
        token[:] = [0]
        pack = msgpack.Packer(default=owner.converter.default, use_bin_type=True).pack
        buffer = heads = memoryview(bytearray(8)).cast("Q")
        chunk, limit, start, head, kept = None, -1, 0, 0, None
        if quick is not None:
            quick.shut()
            quick.listen(signs)
        stream.head = stream.cursor = stream.base = None
        stream.tag = stream.acked = stream.sent_seq = stream.cursor_seq = stream.cursor_byte = 0
        stream.refused = stream.given_up = 0
        stream.deferred.clear()

    def logged() -> int:
        """Sequence of the next record: how many have been stored."""
        current = chunk
        return current.end_seq if current is not None else 0

    inside = frozenset({log.__code__, rotate.__code__})
    compiled_call = compiled()
    quick = compiled_call(log, token, attend, SUSPECT_BYTES) if compiled_call is not None else None
    if quick is not None:
        quick.listen(signs)
    return _Calls(quick or log, last, rotate, drain, reset, logged)


def _last_of(chunk: Chunk | None) -> bytes | None:
    """The last record of a chunk in memory."""
    return newest(chunk.view, *chunk.committed()) if chunk is not None and chunk.view is not None else None


def _calling(frame: FrameType | None, codes: frozenset[CodeType]) -> bool:
    """Whether a thread whose innermost frame is `frame` is in the middle of one of these functions."""
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False
