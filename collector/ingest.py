"""From a message to lines on disk: check, decide, encode, write once per file, then advance. No sockets here.

`take` plans, `commit` writes what was planned and only then moves the sequences: what fails in between is as if it
had never arrived, and its producer sends it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from collector.counts import Counts
from collector.encode import Encoded, encode, unpack
from collector.ledger import Kind, decide
from collector.people import MAX_TOLD, People
from collector.plan import Planned, Written, is_adoption
from collector.quarantine import Quarantine
from collector.sessions import HUNGRY_BATCHES, Session, Sessions, Stream
from collector.store import DataFile, Store
from contract import names, wire
from contract.wire import Batch, FrameRefused

_NOTE_REASON: Final = "never arrived: the producer no longer had them"


class Ingest:
    """The collector's heart: everything between a received message and an acknowledgement.

    Args:
        base: the data folder.
        power: sync before a record counts as stored.

    Attributes:
        to_ack: streams whose producer should hear how far we are.
        urgent: those of them that sent too early and should hear at once.
        hungry: those of them that have sent much since they last heard.
        came: producers heard through the socket since somebody emptied it.
    """

    def __init__(
        self,
        base: Path,
        counts: Counts,
        people: People,
        power: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = counts
        self.people = people
        self.quarantine = Quarantine(base)
        self.store = Store(base, counts, power, lambda name, tail: self.quarantine_tail(name, tail))
        self.sessions = Sessions(base, self.store, counts, power)
        self.own_id = names.new_producer()
        self.to_ack: dict[Stream, None] = {}
        self.urgent: dict[Stream, None] = {}
        self.hungry: dict[Stream, None] = {}
        self.came: set[str] = set()
        self._clock = clock
        self._plans: dict[DataFile, list[Planned]] = {}
        self._skips: list[tuple[Stream, int, int]] = []

    def quarantine_tail(self, name: str, tail: bytes) -> None:
        """Keep a torn line apart; its record was never acknowledged, so it comes again whole."""
        self.counts.note(f"{name} ended in a torn line; {len(tail)} bytes are kept apart in the quarantine", "torn")
        self.quarantine.add("torn line", file=name, text=tail[:4096].decode("utf-8", "backslashreplace"))

    def take(self, parts: list[bytes]) -> Kind | None:
        """Plan one message; None when it was refused (and counted). Never raises on content."""
        try:
            batch, payload = wire.unpack_batch(parts)
            self.came.add(batch.producer)
            return self.take_batch(batch, payload)
        except FrameRefused as error:
            self.refuse(error.reason, str(error), parts)
            return None

    def refuse(self, reason: str, text: str, parts: list[bytes] | None = None) -> None:
        """Count and announce a message that is not taken, also with the session that it names, if there is such a one."""
        self.counts.rejected[reason] += 1
        if parts and len(parts[0]) <= wire.MAX_TOPIC_BYTES:
            with suppress(FrameRefused):
                self.sessions.note_rejected(wire.names_in(parts[0])[0], reason)
        self.counts.note(f"message refused ({reason}): {text}", f"refused {reason}")

    def take_batch(self, batch: Batch, payload: bytes) -> Kind:
        """Plan one batch.

        Raises:
            FrameRefused: reason "limit".
        """
        counts = self.counts
        counts.received_batches += 1
        counts.received += batch.count
        now = self._clock()
        self.people.heard(batch.producer, batch.session, now)
        try:
            stream = self._stream(batch, payload)
            if self.store.waits(stream.file, now):
                counts.waits += 1
                return Kind.WAIT
            verdict = decide(stream.planned, batch.first_seq, batch.count, batch.floor)
            if verdict.kind is Kind.ACCEPT:
                self._plan(stream, batch, payload, verdict.skip, verdict.lost)
                return Kind.ACCEPT
        except OSError as error:
            counts.waits += 1
            counts.write_errors += 1
            counts.write_error = f"session {batch.session}: {error}"
            counts.note(counts.write_error, "session files")
            return Kind.WAIT
        self.to_ack[stream] = None
        if verdict.kind is Kind.DUPLICATE:
            counts.duplicates += batch.count
            return Kind.DUPLICATE
        counts.gaps += 1
        if verdict.lost and stream.planned == stream.next:
            self._skipped(stream, verdict.lost)
            stream.next = stream.planned = batch.floor
            stream.session.must_save = True
        self.urgent[stream] = None
        return Kind.GAP

    def _stream(self, batch: Batch, payload: bytes) -> Stream:
        foreign = batch.category == names.LIFECYCLE and is_adoption(payload)
        return self.sessions.stream(batch.session, batch.category, batch.producer, foreign)

    def _plan(self, stream: Stream, batch: Batch, payload: bytes, skip: int, lost: int) -> None:
        records, refused = unpack(batch, payload)
        if skip:
            records = records[skip:]
            self.counts.duplicates += skip
        first = batch.first_seq + skip
        encoded = encode(batch.producer, first, records, time.time(), stream.last_step)
        alerts = None
        if batch.category == names.ALERTS:
            encoded, alerts = self._new_alerts(stream.session, encoded)
        refused += encoded.refused
        for seq, count, why, raw in refused:
            if seq + count > first:
                self._keep_apart(stream, seq, count, why, raw)
        self.counts.repaired += encoded.repaired
        stream.last_step = encoded.last_step
        after = batch.first_seq + batch.count
        spent = encoded.count < after - first
        kept = records if batch.category == names.LIFECYCLE else None
        plan = Planned(stream, encoded.data, encoded.count, after, lost, spent, kept, alerts)
        stream.planned = after
        plans = self._plans.get(stream.file)
        if plans is None:
            self._plans[stream.file] = [plan]
        else:
            plans.append(plan)

    def _keep_apart(self, stream: Stream, seq: int, count: int, why: str, raw: str) -> None:
        self.counts.quarantined += count
        self.counts.note(f"{count} records of {stream.producer} cannot be stored: {why:.200}", "quarantined")
        self.quarantine.add(
            why,
            session=stream.session.name,
            category=stream.category,
            producer=stream.producer,
            seq=seq,
            count=count,
            raw=raw,
        )

    def _new_alerts(self, session: Session, encoded: Encoded) -> tuple[Encoded, list[str]]:
        """Without the alerts that are stored already; an analyzer that starts again tells the same ones."""
        known = self.sessions.alert_ids(session)
        kept: list[bytes] = []
        ids: list[str] = []
        for line in encoded.data.splitlines(keepends=True):
            found = orjson.loads(line).get("id")
            if isinstance(found, str):
                if found in known:
                    self.counts.duplicate_alerts += 1
                    continue
                known.add(found)
                ids.append(found)
            kept.append(line)
        return replace(encoded, data=b"".join(kept), count=len(kept)), ids

    def _skipped(self, stream: Stream, lost: int) -> None:
        self.counts.skipped = min(self.counts.skipped + lost, MAX_TOLD)
        self._skips.append((stream, stream.next, lost))
        self.counts.note(
            f"{lost} records of {stream.producer} ({stream.category}, session {stream.session.name}) {_NOTE_REASON}",
            "skipped",
        )

    def commit(self) -> list[Written]:
        """Write what was planned, one write per file; returns what is stored now, for the feed."""
        written: list[Written] = []
        if self._plans:
            plans, self._plans = self._plans, {}
            for file, items in plans.items():
                self._commit_file(file, items, written)
        if self._skips:
            self._tell_skips(written)
        return written

    def _commit_file(self, file: DataFile, items: list[Planned], written: list[Written]) -> None:
        data = items[0].data if len(items) == 1 else b"".join([item.data for item in items])
        stored = self.store.append(file, data) if data else 0
        at = file.size - stored
        left = stored
        now = time.time()
        for number, item in enumerate(items):
            size = len(item.data)
            if size > left:
                self._cut_short(item, left, at, written)
                for late in items[number + 1 :]:
                    self._undo(late)
                return
            self._stored(item, item.count, item.after, now)
            if size:
                written.append(Written(item.stream, at, item.data))
            at += size
            left -= size

    def _stored(self, item: Planned, count: int, after: int, now: float) -> None:
        stream, session = item.stream, item.stream.session
        if item.lost:
            self._skipped(stream, item.lost)
        stream.next = after
        self.to_ack[stream] = None
        stream.unheard += 1
        if stream.unheard > HUNGRY_BATCHES:
            self.hungry[stream] = None
        note = session.note
        if count:
            note.stored[stream.category] += count
            note.last_record = now
            self.counts.stored += count
        if item.spent:
            session.must_save = True
        if item.records is not None and stream.producer != self.own_id:
            note.dropped = min(note.dropped + self.people.learn(stream.producer, session.name, item.records), MAX_TOLD)
        self.sessions.touch(session)

    def _cut_short(self, item: Planned, left: int, at: int, written: list[Written]) -> None:
        """Only `left` bytes of this batch, whole lines, are stored: so far the stream moves, and no further."""
        kept = item.data[:left]
        if not kept:
            self._undo(item)
            return
        last = orjson.loads(kept[kept.rfind(b"\n", 0, -1) + 1 :])["_q"]
        count = kept.count(b"\n")
        done = Planned(
            item.stream,
            kept,
            count,
            last + 1,
            item.lost,
            item.spent,
            None if item.records is None else item.records[:count],
            None,
        )
        self._stored(done, count, last + 1, time.time())
        written.append(Written(item.stream, at, kept))
        item.data = item.data[left:]
        self._undo(item)

    def _undo(self, item: Planned) -> None:
        item.stream.planned = item.stream.next
        if item.alerts:
            lost = {orjson.loads(line).get("id") for line in item.data.splitlines()}
            self.sessions.alert_ids(item.stream.session).difference_update(lost)

    def tell(self, session: str, producer: str, event: dict[str, Any]) -> bool:
        """Store a lifecycle record of the collector's own in the session that keeps `producer`'s records.

        Returns whether it is stored. Must not be called between `take` and `commit`.
        """
        written = self._tell(session, producer, event)
        return bool(written)

    def _tell(self, name: str, producer: str, event: dict[str, Any]) -> list[Written]:
        written: list[Written] = []
        try:
            home = self.sessions.resolve(name, producer)
            stream = self.sessions.stream(home, names.LIFECYCLE, self.own_id, foreign=True)
        except (OSError, FrameRefused):
            return written
        encoded = encode(self.own_id, stream.next, [[time.time(), 0, event]], 0.0)
        stream.planned += 1
        self._commit_file(
            stream.file, [Planned(stream, encoded.data, 1, stream.planned, 0, False, None, None)], written
        )
        return written

    def _tell_skips(self, written: list[Written]) -> None:
        skips, self._skips = self._skips, []
        for stream, first, lost in skips:
            event = {"event": "skipped", "producer": stream.producer, "category": stream.category, "first": first}
            note = stream.session.note
            note.skipped = min(note.skipped + lost, MAX_TOLD)
            written += self._tell(
                stream.session.name, stream.producer, {**event, "count": lost, "reason": _NOTE_REASON}
            )

    def acks(self, streams: list[Stream]) -> dict[str, dict[str, int]]:
        """`{producer: {category: next}}` for these streams, checkpointing first where sequences were spent without lines."""
        found: dict[str, dict[str, int]] = {}
        for stream in streams:
            if stream.session.must_save and not self.sessions.save_now(stream.session):
                continue
            stream.unheard = 0
            if stream.producer != self.own_id:
                found.setdefault(stream.producer, {})[stream.category] = stream.next
        return found

    def close(self, seconds: float) -> None:
        """Checkpoint, sync and close; waits for the disk at most `seconds`."""
        self.sessions.close()
        self.store.close(seconds)
