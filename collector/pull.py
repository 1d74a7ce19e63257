"""Records taken straight out of the rings of trainers on this machine, so that a steady trainer's sender can sleep.

A trainer that logs steadily says so in its ring (`contract.live`). While this collector looks at that ring a hundred times a
second, the trainer's sender does nothing: no thread that wakes, wants the interpreter and a core beside the training. What is
taken goes the way of every batch, so what also came through the socket is recognised; what cannot be taken (spooled, in the
heap, a file that cannot be written) is left to the sender, who goes on by itself when the beat stops.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from collector.ingest import Ingest
from collector.ledger import Kind
from contract import blocks, names
from contract.live import MAX_SEQ, NO, ORDERED, PAGE, RELIED, LiveWords, Mark
from contract.places import ring_dirs
from contract.wire import MAX_BATCH_RECORDS, Batch, FrameRefused

#: Seconds between two looks: half of it is what a record waits on average, each look costs some 20 us and a wake-up.
LOOK_S: Final = 0.01
#: Rings that are looked at; the trainers beyond send through their sockets.
MAX_RINGS: Final = 64
#: Bytes taken in one look, so that whoever sends through a socket is never kept waiting.
_BYTES_PER_LOOK: Final = 1 << 20
#: Without a new record for this long a ring is no longer looked at: the sender's sleep costs less than our looks.
_IDLE_S: Final = 0.3
_GONE_EVERY_S: Final = 1.0
_ABSENT_KEPT: Final = 10_000
_WORDS: Final = blocks.HEAD_WORDS
_BYTES: Final = 0xFFFFFFFF


class _Place:
    """How far one category is taken: in block `block`, whose first sequence is `first`, `count` records and `byte` bytes."""

    __slots__ = ("block", "byte", "count", "first")

    def __init__(self, block: int, first: int, count: int = 0, byte: int = 0) -> None:
        self.block = block
        self.first = first
        self.count = count
        self.byte = byte

    @property
    def next_seq(self) -> int:
        return self.first + self.count


class _Ring:
    """A living producer's ring file, mapped as far as the heads of its blocks; payloads are read, never mapped.

    Raises:
        OSError, ValueError: it cannot be opened, or is no ring of this producer.
    """

    def __init__(self, path: Path, producer: str) -> None:
        self.producer = producer
        self.active = False
        self.clean = False
        self.moved_at = 0.0
        self.places: dict[int, _Place] = {}
        self.touched: set[int] = set()
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            info = os.fstat(self.fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size < 2 * PAGE:
                raise ValueError("no ring")
            head = os.pread(self.fd, blocks.FILE_HEAD.size, 0)
            magic, n_blocks, block_bytes, _, _, named, session = blocks.FILE_HEAD.unpack(head)
            if magic != blocks.RING_MAGIC or block_bytes != blocks.BLOCK_BYTES or not 0 < n_blocks <= 1 << 20:
                raise ValueError("no ring of this version")
            if info.st_size < blocks.ring_bytes(n_blocks) or named.rstrip(b"\0") != producer.encode():
                raise ValueError("no ring of this producer")
            self.session = names.check_session(session.rstrip(b"\0").decode("ascii", "replace"))
            self.n_blocks = n_blocks
            self._start = blocks.blocks_offset(n_blocks)
            self._map = mmap.mmap(self.fd, self._start)
        except BaseException:
            os.close(self.fd)
            raise
        self.view = memoryview(self._map)
        self.live = LiveWords(self.view)
        self.heads = self.view[blocks.heads_offset() : self._start].cast("Q")

    def tagged(self, tag: int) -> bool:
        """Whether there are so many categories."""
        return bool(self.view[blocks.category_offset(tag - 1)])

    def category(self, tag: int) -> str:
        """The category of that tag. Raises `contract.names.NameRefused`."""
        raw, _ = blocks.CATEGORY_ENTRY.unpack_from(self.view, blocks.category_offset(tag - 1))
        return names.check_category(raw.rstrip(b"\0").decode("ascii", "replace"))

    def holds(self, place: _Place, tag: int) -> bool:
        """Whether a place's block still is the one it was."""
        head = place.block * _WORDS
        return bool(self.heads[head + 1] == place.first and self.heads[head + 2] == tag)

    def published(self, place: _Place) -> tuple[int, int]:
        """(records, bytes) of a place's block."""
        state = self.heads[place.block * _WORDS]
        return state >> 32, state & _BYTES

    def find(self, tag: int, next_seq: int, current: int | None = None) -> _Place | None:
        """Where the record `next_seq` is, or will be; None when its block is not in the ring.

        Args:
            current: a block to try first.
        """
        best: _Place | None = None
        if current is not None and current < self.n_blocks:
            best = _Place(current, next_seq)
            if self.holds(best, tag):
                return best
            best = None
        for index in range(self.n_blocks):
            first = self.heads[index * _WORDS + 1]
            if self.heads[index * _WORDS + 2] == tag and first <= next_seq and (best is None or first > best.first):
                best = _Place(index, first)
        if best is None:
            return None
        count, size = self.published(best)
        if not self.holds(best, tag) or next_seq > best.first + count:
            return None
        if next_seq == best.first + count:
            best.count, best.byte = count, size
        elif next_seq > best.first:
            for mark in (self.live.stored(tag), self.live.sent(tag)):
                if mark.next_seq == next_seq and mark.byte <= size:
                    best.count, best.byte = next_seq - best.first, mark.byte
        return best  # where no mark fits from the block's beginning: what is known is trimmed

    def read(self, place: _Place, size: int, tag: int) -> bytes | None:
        """The bytes of a block after `place`, up to `size`; None when the block was given to others meanwhile."""
        wanted = size - place.byte
        at = self._start + place.block * blocks.BLOCK_BYTES + place.byte
        payload = os.pread(self.fd, wanted, at)
        return payload if len(payload) == wanted and self.holds(place, tag) else None

    def gone(self) -> bool:
        """Whether its producer has removed the file."""
        return os.fstat(self.fd).st_nlink == 0

    def close(self) -> None:
        self.live.beat = 0
        self.live.release()
        self.heads.release()
        self.view.release()
        self._map.close()
        os.close(self.fd)


class Puller:
    """Looks at the rings of the producers that wish it, and takes what is new.

    Args:
        base: the data folder.
        ingest: where records go; its `came` tells which producers were heard through the socket.
        allowed: False where every record must come under a key.
    """

    def __init__(self, base: Path, ingest: Ingest, allowed: bool = True) -> None:
        self._base = base
        self._ingest = ingest
        self._allowed = allowed and ORDERED
        self._rings: dict[str, _Ring] = {}
        self._active: list[_Ring] = []
        self._looked: list[_Ring] = []
        self._absent: set[str] = set()
        self._next = 0.0
        self._room = 0
        self._next_gone = 0.0

    def due_in(self, now: float) -> float | None:
        """Seconds until the next look; None when there is nothing to look at."""
        return max(0.0, self._next - now) if self._active else None

    def look(self, now: float) -> None:
        """Plan what is new in the rings, if a look is due; `settle` must follow once it is committed."""
        if self._ingest.came:
            self._notice(now)
        if now < self._next or not self._active:
            return
        self._next = now + LOOK_S
        self._room = _BYTES_PER_LOOK
        self._looked = self._active
        for ring in self._looked:
            try:
                self._look_at(ring, now)
            except (OSError, names.NameRefused, FrameRefused) as error:
                reason = error.reason if isinstance(error, FrameRefused) else "ring"
                self._ingest.refuse(reason, f"ring of producer {ring.producer}: {error}")
                self._drop(ring)
        self._active = [ring for ring in self._active if ring.active]
        if now >= self._next_gone:
            self._next_gone = now + _GONE_EVERY_S
            for ring in [ring for ring in self._rings.values() if ring.gone()]:
                self._drop(ring)

    def _notice(self, now: float) -> None:
        """Of the producers that were heard, those that wish to be looked at."""
        came, self._ingest.came = self._ingest.came, set()
        if not self._allowed:
            return
        for producer in came - self._absent:
            ring = self._rings.get(producer) or self._open(producer)
            if ring is not None and not ring.active and ring.live.wish != NO:
                ring.active, ring.moved_at = True, now
                self._active = [*self._active, ring]

    def _open(self, producer: str) -> _Ring | None:
        if len(self._rings) >= MAX_RINGS:
            return None
        for folder in ring_dirs(self._base):
            with suppress(OSError, ValueError):
                ring = self._rings[producer] = _Ring(blocks.ring_file(folder, producer), producer)
                return ring
        if len(self._absent) >= _ABSENT_KEPT:
            self._absent.clear()
        self._absent.add(producer)
        return None

    def _drop(self, ring: _Ring) -> None:
        self._rings.pop(ring.producer, None)
        self._active = [other for other in self._active if other is not ring]
        self._looked = [other for other in self._looked if other is not ring]
        ring.active = False
        ring.close()
        self._absent.add(ring.producer)

    def _look_at(self, ring: _Ring, now: float) -> None:
        wish = ring.live.wish
        ring.clean = True
        if wish != RELIED:
            ring.places.clear()
        for tag in range(1, names.MAX_CATEGORIES_PER_PRODUCER + 1):
            if ring.live.current(tag) is None:
                if not ring.tagged(tag):
                    break
                ring.clean = False  # it lies in the trainer's heap
            elif not (self._take(ring, tag, now) if wish == RELIED else self._find(ring, tag)):
                ring.places.pop(tag, None)
                ring.clean = False
        if now - ring.moved_at > _IDLE_S:
            ring.clean = False
            ring.active = wish == RELIED
        if wish == NO:
            ring.clean = ring.active = False

    def _find(self, ring: _Ring, tag: int) -> _Place | None:
        next_seq = self._ingest.sessions.stream(ring.session, ring.category(tag), ring.producer).planned
        return ring.find(tag, next_seq) if next_seq < MAX_SEQ - MAX_BATCH_RECORDS else None

    def _take(self, ring: _Ring, tag: int, now: float) -> bool:
        """Plan what is new in one category; False when some of it cannot be taken now."""
        while self._room > 0:
            place = ring.places.get(tag)
            if place is None:
                place = self._find(ring, tag)
                if place is None:
                    return False
                ring.places[tag] = place
            current = ring.live.current(tag)  # before the block's head: a block that is no longer current is complete
            count, size = ring.published(place)
            if not ring.holds(place, tag):
                return False
            if count > place.count and place.byte < size <= blocks.BLOCK_BYTES:
                payload = ring.read(place, size, tag)
                if payload is None:
                    return False
                if self._plan(ring, tag, place.next_seq, count - place.count, payload) not in _GOES_ON:
                    return False
                place.count, place.byte = count, size
                ring.touched.add(tag)
                ring.moved_at = now
                self._room -= len(payload)
            elif current == place.block:
                return True
            else:
                following = ring.find(tag, place.next_seq, current)
                if following is None or following.block == place.block:
                    return False
                ring.places[tag] = following
        return True

    def _plan(self, ring: _Ring, tag: int, first: int, count: int, payload: bytes) -> Kind:
        if count > MAX_BATCH_RECORDS:
            raise FrameRefused("range", f"{count} records in one block")
        batch = Batch(ring.session, ring.category(tag), ring.producer, first, count, 0)
        self._ingest.counts.pulled += count
        return self._ingest.take_batch(batch, payload)

    def settle(self) -> None:
        """What was planned is committed: acknowledge it in the rings, and beat where all could be taken."""
        for ring in self._looked:
            for tag in ring.touched:
                if not self._acknowledge(ring, tag):
                    ring.places.pop(tag, None)
                    ring.clean = False
            ring.touched.clear()
            ring.live.beat = time.monotonic_ns() if ring.clean else 0
        self._looked = []

    def _acknowledge(self, ring: _Ring, tag: int) -> bool:
        """Note in the ring how far a category is stored; False when the disk refused, or more came through the socket."""
        place = ring.places.get(tag)
        if place is None:
            return False
        try:
            category = ring.category(tag)
            stream = self._ingest.sessions.stream(ring.session, category, ring.producer)
        except (OSError, names.NameRefused, FrameRefused):
            return False
        safe = self._ingest.acks([stream]).get(ring.producer, {}).get(category)
        if safe != place.next_seq:
            return False
        ring.live.note_stored(tag, Mark(safe, place.byte))
        self._ingest.to_ack.pop(stream, None)
        self._ingest.hungry.pop(stream, None)
        return True

    def close(self) -> None:
        """Stop: every beat ends, so the senders go on by themselves."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._active = self._looked = []


_GOES_ON: Final = (Kind.ACCEPT, Kind.DUPLICATE)
