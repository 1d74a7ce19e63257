"""What dead producers left behind, stored as if they had sent it.

A producer's ring and spool are orphans once the lock on its ring is free. Their blocks go the way of any batch, so what
had arrived before is recognised; only when all of it is stored are the files removed. It is done in small steps
between rounds: gigabytes of spool must not keep living producers waiting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from collector.ingest import Ingest
from collector.ledger import Kind
from collector.plan import Written
from contract import names
from contract.blocks import Block, Orphan, find_orphans
from contract.wire import MAX_BATCH_RECORDS, Batch, FrameRefused

#: Bytes of blocks stored between two rounds of the loop.
STEP_BYTES: Final = 1 << 20
LOOK_EVERY_S: Final = 1.0
#: A ring without a proper head this old (seconds) was never finished, or is damaged.
UNFINISHED_S: Final = 10.0


class Adopter:
    """Looks for orphans and stores what they hold, a step at a time."""

    def __init__(self, base: Path, ingest: Ingest) -> None:
        self._base = base
        self._ingest = ingest
        self._found: Iterator[Orphan] | None = None
        self._orphan: Orphan | None = None
        self._blocks: Iterator[Block] | None = None
        self._waiting: Block | None = None
        self._floors: dict[tuple[str, str], int] = {}
        self._gaps: dict[tuple[str, str], int] = {}
        self._progress = False
        self._records = 0
        self._retry_at = 0.0
        self._look_at = 0.0
        self.clear = False

    def busy(self, now: float) -> bool:
        """Whether there is more to store right now."""
        return self._orphan is not None and now >= self._retry_at

    def step(self, now: float) -> list[Written]:
        """Do a bounded piece of work; returns what was stored. Never raises on what an orphan contains."""
        if now < self._retry_at:
            return []
        if self._orphan is None and not self._next_orphan(now):
            return []
        if self._blocks is not None:
            return self._store_some(now)
        return []

    def _next_orphan(self, now: float) -> bool:
        if self._found is None:
            if now < self._look_at:
                return False
            self._found = find_orphans(self._base)
            self._none_so_far = True
        begin = time.thread_time()
        try:
            orphan = next(self._found, None)
        except (OSError, ValueError) as error:
            self._ingest.counts.note(f"cannot look for what dead producers left: {error}", "orphans")
            orphan = None
        # Looking costs a lock per living producer: with many, look less often. Work counts, not time: after a look in
        # which this process stood still for half a minute, the next must not be half an hour away.
        took = time.thread_time() - begin
        if orphan is None:
            self._found = None
            self._look_at = now + max(LOOK_EVERY_S, 50 * took)
            self.clear = self._none_so_far
            return False
        self._none_so_far = self.clear = False
        if orphan.ring is not None and orphan.content is None and not orphan.spools:
            self._unreadable(orphan)
            return False
        self._orphan = orphan
        self._blocks = orphan.blocks()
        self._floors.clear()
        self._gaps.clear()
        self._records, self._progress = 0, False
        return True

    def _unreadable(self, orphan: Orphan) -> None:
        """A ring without a proper head: just being made, or never finished, or damaged."""
        if orphan.ring is None:
            return
        try:
            age = time.time() - orphan.ring.stat().st_mtime
            if age < UNFINISHED_S:
                orphan.release()
                return
            with orphan.ring.open("rb") as file:
                empty = not any(file.read(8))
            if empty:
                orphan.remove()
            else:
                os.replace(orphan.ring, orphan.ring.with_suffix(".damaged"))
                orphan.release()
                self._ingest.counts.note(
                    f"the ring of producer {orphan.producer} is damaged; kept as {orphan.ring.stem}.damaged"
                )
        except OSError:
            orphan.release()

    def _store_some(self, now: float) -> list[Written]:
        ingest = self._ingest
        size = 0
        finished = False
        planned: list[Block] = []
        while size < STEP_BYTES:
            block = self._waiting or self._next_block()
            self._waiting = None
            if block is None:
                finished = True
                break
            size += len(block.payload)
            kind = self._take(block)
            if kind is Kind.WAIT:
                self._waiting = block
                self._retry_at = now + 0.1
                break
            if kind is Kind.ACCEPT:
                planned.append(block)
        errors = ingest.counts.write_errors
        stored = ingest.counts.stored
        written = ingest.commit()
        self._records += ingest.counts.stored - stored
        if ingest.counts.write_errors != errors:
            self._again(now)
        elif finished:
            self._pass_ended(written)
        return written

    def _next_block(self) -> Block | None:
        try:
            return next(self._blocks, None) if self._blocks is not None else None
        except Exception as error:  # a damaged spool may break its decoder in any way
            self._ingest.counts.note(f"a spool of a dead producer cannot be read to its end: {error!r:.200}", "spool")
            return None

    def _take(self, block: Block) -> Kind | None:
        """Plan one block. A stretch that is nowhere to be found is given up only once everything was looked through."""
        key = (block.session, block.category)
        floor = min(self._floors.get(key, 0), block.first_seq)
        try:
            names.check_session(block.session)
            names.check_category(block.category)
            names.check_producer(block.producer)
            if not 1 <= block.count <= MAX_BATCH_RECORDS:
                raise FrameRefused("range", f"block of {block.count} records")
            batch = Batch(block.session, block.category, block.producer, block.first_seq, block.count, floor)
            kind = self._ingest.take_batch(batch, block.payload)
        except (names.NameRefused, FrameRefused) as error:
            reason = error.reason if isinstance(error, FrameRefused) else "name"
            self._ingest.counts.rejected[reason] += 1
            self._ingest.counts.note(
                f"a block of dead producer {block.producer!r:.60} refused: {error}", "orphan block"
            )
            return None
        if kind is Kind.GAP:
            self._gaps[key] = min(block.first_seq, self._gaps.get(key, block.first_seq))
        elif kind is Kind.ACCEPT:
            self._progress = True
        return kind

    def _again(self, now: float) -> None:
        """The disk refused: go through this orphan once more a little later; what is stored is recognised."""
        self._retry_at = now + 0.1
        if self._orphan is not None:
            self._blocks = self._orphan.blocks()
        self._waiting = None
        self._gaps.clear()

    def _pass_ended(self, written: list[Written]) -> None:
        if self._gaps and self._orphan is not None:
            if not self._progress:
                self._floors.update(self._gaps)
            self._gaps.clear()
            self._progress = False
            self._blocks = self._orphan.blocks()
            return
        self._finish()

    def _finish(self) -> None:
        orphan = self._orphan
        if orphan is None:
            return
        ingest = self._ingest
        session = orphan.content.session if orphan.content is not None else None
        sessions = {session} if session else {block.session for block in self._sessions_of_spool(orphan)}
        for name in sorted(sessions):
            if not ingest.sessions.known(name):
                continue
            event = {
                "event": "adopted",
                "producer": orphan.producer,
                "pid": orphan.content.pid if orphan.content is not None else None,
                "records": self._records,
                "by": "collector",
            }
            if not ingest.tell(name, orphan.producer, event):
                self._retry_at = time.monotonic() + 0.5
                self._blocks = orphan.blocks()
                return
        try:
            orphan.remove()
        except OSError as error:
            orphan.release()
            ingest.counts.note(f"cannot remove what producer {orphan.producer} left: {error}", "orphan remains")
        ingest.people.gone(orphan.producer)
        ingest.counts.adopted += self._records
        ingest.counts.adopted_producers += 1
        ingest.counts.note(f"producer {orphan.producer} died; stored {self._records} records it had left")
        self._orphan, self._blocks = None, None

    def _sessions_of_spool(self, orphan: Orphan) -> Iterator[Block]:
        try:
            for block in orphan.blocks():
                yield block
                return  # a producer has one session
        except Exception as error:  # damaged, and said so before
            self._ingest.counts.note(f"spool of producer {orphan.producer}: {error!r:.200}", "spool")

    def close(self) -> None:
        """Leave an orphan that is not finished to the next collector."""
        if self._orphan is not None:
            self._orphan.release()
            self._orphan = None
