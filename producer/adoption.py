"""Taking over what a dead producer of this data folder left, when the collector is on another machine.

On one machine the collector adopts rings and spools itself. A collector elsewhere cannot see them, so the next producer
here sends them, under the dead one's id and sequence; the collector sorts out what it has already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from contract import wire
from contract.blocks import Block, Orphan, find_orphans
from producer import forks
from producer.link import Link

_WINDOW = 16
_RESEND_S = 1.0
_LOOK_EVERY_S = 5.0


class Adoption:
    """Sends one orphan after the other; driven by the sender's rounds."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._orphan: Orphan | None = None
        self._blocks: Iterator[Block] = iter(())
        self._sent: deque[Block] = deque()
        self._acked: dict[str, int] = {}
        self._sent_at = 0.0
        self._next_look = 0.0
        self.adopted = 0

    def round(self, link: Link, now: float) -> None:
        """Send what may be sent now."""
        if self._orphan is None and not self._look(now):
            return
        while self._sent and self._acked.get(self._sent[0].category, 0) >= self._end(self._sent[0]):
            self._sent.popleft()
        if self._sent and now - self._sent_at > _RESEND_S:
            self._sent_at = now
            for sent in self._sent:
                self._send(link, sent)
        while len(self._sent) < _WINDOW:
            block = next(self._blocks, None)
            if block is None:
                break
            if not self._send(link, block):
                self._blocks = _again(block, self._blocks)
                break
            self._sent.append(block)
            self._sent_at = now
        if not self._sent and self._orphan is not None:
            self._orphan.remove()
            self._orphan = None
            self.adopted += 1
            self._next_look = 0.0

    def take_ack(self, frame: bytes) -> None:
        if self._orphan is not None:
            self._acked.update(wire.unpack_ack(frame, self._orphan.producer))

    def close(self) -> None:
        """Leave an unfinished orphan to the next one."""
        if self._orphan is not None:
            self._orphan.release()
            self._orphan = None

    def _look(self, now: float) -> bool:
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_EVERY_S
        for orphan in find_orphans(self._base, forks.alive_here()):
            self._orphan, self._blocks, self._acked = orphan, orphan.blocks(), {}
            return True
        return False

    def _end(self, block: Block) -> int:
        return block.first_seq + block.count

    def _send(self, link: Link, block: Block) -> bool:
        floor = min((b.first_seq for b in self._sent if b.category == block.category), default=block.first_seq)
        header = wire.pack_header(block.producer, block.category, block.first_seq, block.count, floor)
        return link.send([wire.topic_of(block.session, block.category), header, block.payload])


def _again(block: Block, rest: Iterator[Block]) -> Iterator[Block]:
    yield block
    yield from rest
