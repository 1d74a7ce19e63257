"""What happens when memory fills: chunks move from the heap to the ring, from the ring to the spool, and at last are given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from contract.names import LIFECYCLE
from producer.ring import Ring
from producer.spool import CHUNKS_AT_ONCE, Spool
from producer.stream import Chunk, Stream

_LOG = logging.getLogger("avaliacoes")

#: Share of the ring in use from which closed blocks go to the spool, and to which it is brought down.
_SPOOL_FROM, _SPOOL_TO = 0.60, 0.40
#: Without a collector for this long, blocks are closed before they are full, to keep to `buffer_records`.
_ROTATE_AFTER_S = 1.0


class Heap(Protocol):
    """Counts the blocks that lie in this process's own memory because the ring was full."""

    def in_use(self) -> int: ...
    def returned(self) -> None: ...


class Overflow:
    """Keeps the memory of one producer within its bounds; driven by the sender's rounds.

    Args:
        session: for what is said in the log.
        streams: the live list of streams.
        buffer_records: records that may wait in memory before the oldest are spooled.
        advance: called with (stream, sequence, monotonic time) when records up to there need no longer be kept.
        on_loss: called with (category, records, reason) when records had to be given up.
    """

    def __init__(
        self,
        session: str,
        streams: list[Stream],
        ring: Ring,
        spool: Spool,
        heap: Heap,
        buffer_records: int,
        on_loss: Callable[[str, int, str], None],
        advance: Callable[[Stream, int, float], None],
    ) -> None:
        self._session = session
        self._streams = streams
        self._ring = ring
        self._spool = spool
        self._heap = heap
        self._buffer_records = buffer_records
        self._on_loss = on_loss
        self._advance = advance
        self._next_spool = 0.0
        #: Writes of the spool that failed.
        self.errors = 0

    def release(self, chunk: Chunk) -> None:
        """A chunk is acknowledged, or given up: its memory or its place on disk is free again."""
        if chunk.spool is not None:
            self._spool.done(chunk)
        elif chunk.block is not None:
            self._ring.give(chunk.block)
        else:
            self._heap.returned()

    def relieve(self, now: float, down_for: float) -> None:
        """Keep room in memory: spool the oldest closed chunks; past the spool's limit give up its oldest file.

        Args:
            down_for: seconds that there has been no collector, 0 while there is one.
        """
        waiting = sum(stream.logged() - stream.acked for stream in self._streams) - self._spool.records
        full = self._ring.used > self._ring.n_blocks * _SPOOL_FROM
        many = waiting > self._buffer_records
        if not (full or many) or now < self._next_spool:
            return
        if many and down_for > _ROTATE_AFTER_S:
            for stream in self._streams:
                if stream.category != LIFECYCLE:
                    stream.rotate()
        surplus = max(0, self._ring.used - int(self._ring.n_blocks * _SPOOL_TO)) if full else 0
        try:
            self._to_spool(waiting - self._buffer_records, surplus)
        except OSError as error:
            self.errors += 1
            if self.errors == 1:
                _LOG.warning("cannot write the spool of session %s: %s; records stay in memory", self._session, error)
            self._next_spool = now + 1.0

    def _to_spool(self, records: int, blocks: int, everything: bool = False) -> None:
        """Move the oldest closed chunks to disk, until `records` records and `blocks` blocks are out of memory.

        Lifecycle records go there only at the end: what tells of a loss must not be given up with the oldest file.
        """
        chosen: list[tuple[Stream, Chunk]] = []
        for stream in tuple(self._streams):
            if stream.category == LIFECYCLE and not everything:
                continue
            chunk = stream.head
            while chunk is not None and chunk.closed and (records > 0 or blocks > 0):
                if chunk.spool is None and chunk.end_seq > stream.acked:
                    chosen.append((stream, chunk))
                    records -= chunk.count
                    blocks -= chunk.block is not None
                chunk = chunk.next
        for begin in range(0, len(chosen), CHUNKS_AT_ONCE):
            part = chosen[begin : begin + CHUNKS_AT_ONCE]
            self._spool.put(part)
            for _, chunk in part:
                if chunk.block is not None:
                    self._ring.give(chunk.block)
                elif chunk.view is not None:
                    self._heap.returned()
                chunk.view = chunk.block = None
            self.give_up(self._spool.give_up_oldest(), "the spool reached its limit")

    def bring_home(self) -> None:
        """Move blocks from the heap, which dies with the process, into the ring as far as it has room again."""
        for stream in tuple(self._streams):
            chunk = stream.head
            while chunk is not None:
                if chunk.view is not None and chunk.block is None:
                    if self._ring.used > self._ring.n_blocks * _SPOOL_FROM:
                        return  # the log call needs what is left; the oldest go to the spool next
                    if not chunk.closed:
                        stream.rotate()
                    if not chunk.closed or not stream.move_to_ring(chunk):
                        break
                    self._heap.returned()
                chunk = chunk.next

    def give_up(self, lost: list[tuple[Stream, Chunk]], reason: str) -> None:
        """Give up chunks, the oldest of their streams: the next batch's `floor` tells the collector to go on."""
        counts: dict[str, int] = {}
        for stream, chunk in lost:
            count = chunk.end_seq - max(stream.acked, chunk.first_seq)
            if count > 0:
                stream.given_up += count
                counts[stream.category] = counts.get(stream.category, 0) + count
        # Told before anything moves on, or a `close()` that waits for that would be gone already.
        for category, count in counts.items():
            self._on_loss(category, count, reason)
        for stream, chunk in lost:
            if chunk.end_seq > stream.acked:
                self._advance(stream, chunk.end_seq, time.monotonic())

    def spool_everything(self) -> bool:
        """Move all that is unacknowledged to disk (the thread has ended); True if all of it is there."""
        try:
            for stream in self._streams:
                stream.rotate()
            self._to_spool(1 << 60, 0, everything=True)
        except OSError as error:
            _LOG.warning("cannot write the spool of session %s: %s", self._session, error)
            return False
        return True
