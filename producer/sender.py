"""The sender: one thread that owns the socket and every decision about when a record leaves.

DOWN -> UP   the collector subscribed: every cursor back to its base, send
UP -> DOWN   it unsubscribed, or its connection died
UP           at most `WINDOW_BATCHES` in flight, few until the first ack; an ack frees; a stream without progress for a second goes back
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import zmq

from contract import wire
from contract.lifecycle import HEARTBEAT_S
from contract.live import MAX_SEQ, Mark
from producer.adoption import Adoption
from producer.discovery import Discovery
from producer.link import WINDOW_BATCHES, Link
from producer.nap import SLEEPING, Nap
from producer.overflow import Heap, Overflow
from producer.reliance import RELIED_ROUND_S, Reliance
from producer.ring import Ring
from producer.spool import Spool
from producer.stream import Chunk, Stream

_LOG = logging.getLogger("avaliacoes")

#: Seconds without progress until a stream is sent again, and times the usual delay of an acknowledgement on top: a
#: collector of a thousand producers acknowledges each two seconds, and says so.
_RESEND_S = 2.0
_ACK_DELAYS = 3.0
_RESEND_MAX_S = 8.0
_GAP_RESEND_S = 0.2
#: Batches in flight until a connection's first acknowledgement: a collector that a thousand trainers find at once opens a
#: thousand sessions first, and what waits meanwhile had better wait here, where it becomes few large batches.
_FIRST_WINDOW = 4
#: Seconds between two looks for a collector: an eighth of the time without one, within these.
_LOOK_SHARE, _LOOK_S, _LOOK_MOST_S = 0.125, 0.1, 1.0
#: A round that finds this many new records is followed by the next one soon.
_BRISK_RECORDS, _BRISK_S = 4, 0.012
#: After a round without a new record the thread sleeps until a record or an acknowledgement wakes it, this long at most.
_DOZE_S = 1.0
#: While acknowledgements are late, rounds are this share of the lateness apart, up to the longest; an acknowledgement ends it.
_LATE_SHARE, _LATE_ROUND_S = 0.25, 0.25


class _Sent(NamedTuple):
    """A batch in flight: the records of a chunk that end at sequence `end_seq` and byte `end_byte`."""

    stream: Stream
    chunk: Chunk
    end_seq: int
    end_byte: int
    at: float


class Sender(threading.Thread):
    """Drains the streams of one producer.

    Args:
        streams: the live list of streams (only ever appended to).
        buffer_records: records that may wait in memory before the oldest are spooled.
        flush_interval: seconds between two rounds while records come.
        heartbeat: called every `HEARTBEAT_S` while the collector is there.
        adoption: sends what dead producers left, where the collector is on another machine.
        on_loss: called with (category, records, reason) when records had to be given up.
        heap: counts the blocks outside the ring.
    """

    def __init__(
        self,
        producer_id: str,
        session: str,
        streams: list[Stream],
        ring: Ring,
        spool: Spool,
        link: Link,
        discovery: Discovery,
        buffer_records: int,
        flush_interval: float,
        heartbeat: Callable[[], None],
        on_loss: Callable[[str, int, str], None],
        nap: Nap,
        heap: Heap,
        adoption: Adoption | None = None,
    ) -> None:
        super().__init__(name=f"avaliacoes-{producer_id}", daemon=True)
        self._producer_id = producer_id
        self._session = session
        self._streams = streams
        self._ring = ring
        self._reliance = Reliance(ring.live, buffer_records, ring.protected)
        self._link = link
        self._discovery = discovery
        self._flush_interval = flush_interval
        self._heartbeat = heartbeat
        self.overflow = Overflow(session, streams, ring, spool, heap, buffer_records, on_loss, self._advance)
        self._inflight: deque[_Sent] = deque()
        self._window = _FIRST_WINDOW
        self._resend_after: dict[str, float] = {}
        self._nap = nap
        self._stored_before = 0
        self._ack_delay = self._ack_every = 0.0
        self._heap = heap
        self._adoption = adoption
        self._stopping = threading.Event()
        self._flushing = threading.Event()
        self._next_look = 0.0
        self._next_beat = time.monotonic() + HEARTBEAT_S
        self._down_since = time.monotonic()
        self._was_up = False
        self.progress_at = time.monotonic()
        self.resent = 0
        self.error: str | None = None

    # Called from other threads

    def hurry(self) -> None:
        """Somebody waits for everything to be acknowledged: no more pauses."""
        self._flushing.set()
        self._nap.wake()

    def relax(self) -> None:
        self._flushing.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._nap.wake()

    @property
    def connected(self) -> bool:
        return self._link.up

    # The thread

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._round()
                except Exception as error:  # the last line of defence: a training never stops for its logger
                    if self.error is None:
                        _LOG.exception("the sender of session %s had an error and goes on", self._session)
                    self.error = repr(error)
                    self._stopping.wait(0.5)
        finally:
            self._reliance.end()
            if self._adoption is not None:
                self._adoption.close()
            self._link.close()

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._next_look and not self._link.up:
            self._next_look = now + self._look_every(now)
            self._link.connect(self._discovery.endpoint())
        for frame in self._link.receive():
            self._take_ack(frame, now)
        if self._link.up != self._was_up:
            self._turn(now)
        if now >= self._next_beat:
            self._next_beat = now + HEARTBEAT_S
            if self._link.up:
                self._heartbeat()
        for stream in tuple(self._streams):
            if stream.deferred:
                stream.drain()
        self._take_stored(now)
        relied = self._relies(now)
        sent = self._send_all(now) if self._link.up and not relied else False
        if self._adoption is not None and self._link.up and not self._flushing.is_set():
            self._adoption.round(self._link, now)
        self.overflow.relieve(now, 0.0 if self._link.up else now - self._down_since)
        if self._heap.in_use():
            self.overflow.bring_home()
        self._pause(now, sent, relied)

    def _turn(self, now: float) -> None:
        self._was_up = self._link.up
        if self._link.up:
            self._discovery.found()
            for stream in self._streams:
                self._go_back(stream, now)
            self._inflight.clear()
            self._window = _FIRST_WINDOW
        else:
            self._down_since = now
            self._next_look = now

    def _relies(self, now: float) -> bool:
        """Whether the collector takes the records itself, so that there is nothing to send."""
        logged = sum(stream.logged() for stream in self._streams)
        waiting = logged - sum(stream.acked for stream in self._streams)
        hurried = self._flushing.is_set() or not self._link.up
        for stream in self._streams:
            if stream.tag and stream.cursor_seq < MAX_SEQ:
                self._ring.live.note_sent(stream.tag, Mark(stream.cursor_seq, stream.cursor_byte))
        return self._reliance.decide(now, time.monotonic_ns(), logged, waiting, hurried)

    def _pause(self, now: float, sent: bool, relied: bool) -> None:
        waiting = bool(self._inflight)
        if self._flushing.is_set():
            self._wait_socket(2 if waiting or sent else 5)
        elif not self._link.up:
            # Nothing can be sent, and a subscription wakes the poll: a round is for the look, and for what must be spooled.
            self._nap.relied = True
            self._wait_socket(round(1000 * self._look_every(now)))
            self._nap.relied = False
        elif relied:
            self._nap.relied = True
            self._nap.pause(RELIED_ROUND_S)
            self._nap.relied = False
        elif (late := _LATE_SHARE * self._lateness(now)) > _BRISK_S:
            self._wait_socket(round(1000 * min(late, _LATE_ROUND_S)))
        elif sent or self._anything_new():
            self._nap.pause(self._interval())
        else:
            self._nap.signs[SLEEPING] = True
            if not self._anything_new():
                self._wait_socket(round(_DOZE_S * 1000))
            self._nap.signs[SLEEPING] = False

    def _look_every(self, now: float) -> float:
        return min(max(_LOOK_SHARE * (now - self._down_since), _LOOK_S), _LOOK_MOST_S)

    def _lateness(self, now: float) -> float:
        """Seconds for which something was sent and nothing at all was acknowledged, beyond what is usual; 0 or less if none."""
        sent = [stream.moved_at for stream in self._streams if stream.sent_seq > stream.acked]
        return now - max(self.progress_at, min(sent)) - self._ack_patience() if sent else 0.0

    def _interval(self) -> float:
        """Seconds to the next round: short while records come in numbers, else the longest that was allowed.

        Each round costs the training a change of thread, about a tenth of a millisecond of its time.
        """
        stored = sum(stream.logged() for stream in self._streams)
        fresh, self._stored_before = stored - self._stored_before, stored
        return min(self._flush_interval, _BRISK_S) if fresh >= _BRISK_RECORDS else self._flush_interval

    def _wait_socket(self, milliseconds: int) -> None:
        socket = self._link.socket
        if socket is None:
            self._nap.pause(milliseconds / 1000)
            return
        poller = zmq.Poller()
        poller.register(self._nap.reader, zmq.POLLIN)
        poller.register(socket, zmq.POLLIN)
        poller.poll(milliseconds)
        self._nap.clear()

    def _anything_new(self) -> bool:
        return any(stream.logged() > stream.sent_seq for stream in self._streams)

    # Sending

    def _send_all(self, now: float) -> bool:
        sent = False
        for stream in tuple(self._streams):
            # Before the window is looked at: a full one empties by acks, or by going back.
            if stream.sent_seq > stream.acked:
                patience = self._resend_after.get(stream.category, _RESEND_S + self._ack_patience())
                if now - max(stream.moved_at, stream.resent_at) > patience:
                    self._resend_after[stream.category] = min(2 * patience, _RESEND_MAX_S)
                    self._go_back(stream, now)
        for stream in tuple(self._streams):
            if len(self._inflight) >= self._window:
                self._retire()
                if len(self._inflight) >= self._window:
                    break
            sent |= self._send_stream(stream, now)
        return sent

    def _ack_patience(self) -> float:
        """Seconds for which a missing acknowledgement says nothing: a few times what it usually takes."""
        return _ACK_DELAYS * max(self._ack_delay, self._ack_every)

    def _send_stream(self, stream: Stream, now: float) -> bool:
        if stream.cursor is None:
            if stream.head is None:
                return False
            stream.cursor, stream.cursor_byte, stream.cursor_seq = stream.head, 0, stream.head.first_seq
        sent = False
        while len(self._inflight) < self._window:
            chunk = stream.cursor
            closed, following = chunk.closed, chunk.next
            size, count = chunk.committed()
            if stream.cursor_byte < size and stream.head is not None:
                end_seq = chunk.first_seq + count
                try:
                    payload = chunk.payload(stream.cursor_byte, size)
                except OSError as error:
                    if chunk is not stream.head:
                        break  # what is before it must arrive first; then it is the head
                    self.overflow.give_up([(stream, chunk)], f"spool unreadable: {error}")
                    if stream.cursor is chunk:
                        stream.cursor_byte = size
                    continue
                header = wire.pack_header(
                    self._producer_id,
                    stream.category,
                    stream.cursor_seq,
                    end_seq - stream.cursor_seq,
                    min(stream.head.first_seq, stream.cursor_seq),
                )
                if not self._link.send([wire.topic_of(self._session, stream.category), header, payload]):
                    break
                if stream.sent_seq == stream.acked:
                    stream.moved_at = now
                if stream.cursor_seq < stream.sent_seq:
                    self.resent += min(end_seq, stream.sent_seq) - stream.cursor_seq
                stream.sent_seq = max(stream.sent_seq, end_seq)
                stream.cursor_seq, stream.cursor_byte = end_seq, size
                self._inflight.append(_Sent(stream, chunk, end_seq, size, now))
                sent = True
            if not closed or following is None:
                break
            if stream.cursor is chunk and stream.cursor_byte >= chunk.size:
                stream.cursor, stream.cursor_byte, stream.cursor_seq = following, 0, following.first_seq
        return sent

    def _go_back(self, stream: Stream, now: float) -> None:
        stream.resent_at = now
        head = stream.head
        if head is not None:
            byte, seq = (stream.base_byte, stream.base_seq) if stream.base is head else (0, head.first_seq)
            stream.cursor, stream.cursor_byte, stream.cursor_seq = head, byte, seq
        if self._inflight:
            self._inflight = deque(sent for sent in self._inflight if sent.stream is not stream)

    # Acknowledgements

    def _take_stored(self, now: float) -> None:
        """What a collector that takes records out of the ring says there."""
        for stream in tuple(self._streams):
            if not stream.tag:
                continue
            stored = self._ring.live.stored(stream.tag)
            if stored.next_seq <= stream.acked:
                continue
            self._advance(stream, min(stored.next_seq, stream.logged()), now)
            self._retire()
            head = stream.head
            if head is not None and stream.acked == stored.next_seq:
                byte = stored.byte if stream.acked > head.first_seq else 0
                stream.base, stream.base_seq, stream.base_byte = head, stream.acked, byte
                if stream.cursor_seq < stream.acked:
                    stream.cursor, stream.cursor_byte, stream.cursor_seq = head, byte, stream.acked

    def _take_ack(self, frame: bytes, now: float) -> None:
        self._ack_every = wire.ack_interval(frame) or self._ack_every
        try:
            moved = wire.unpack_ack(frame, self._producer_id)
        except wire.FrameRefused:
            return
        if moved:
            self._window = WINDOW_BATCHES
        for stream in tuple(self._streams):
            next_seq = moved.get(stream.category)
            if next_seq is None:
                continue
            if next_seq > stream.acked:
                self._advance(stream, min(next_seq, stream.logged()), now)
            elif next_seq < stream.acked:
                # A collector that lost what it had acknowledged: all that is still here, once per request.
                if stream.base is not None or now - stream.resent_at > _GAP_RESEND_S:
                    stream.base = None
                    self._go_back(stream, now)
            elif stream.sent_seq > stream.acked and now - max(stream.resent_at, stream.moved_at) > _GAP_RESEND_S:
                self._go_back(stream, now)
        self._retire()
        if self._adoption is not None:
            self._adoption.take_ack(frame)

    def _advance(self, stream: Stream, acked: int, now: float) -> None:
        stream.acked = acked
        stream.sent_seq = max(stream.sent_seq, acked)
        stream.moved_at = self.progress_at = now
        self._resend_after.pop(stream.category, None)
        if stream.tag:
            self._ring.note_acked(stream.tag, acked)
        while (head := stream.head) is not None and head.closed and head.next is not None and head.end_seq <= acked:
            stream.head = head.next
            if stream.cursor is head:
                stream.cursor, stream.cursor_byte, stream.cursor_seq = head.next, 0, head.next.first_seq
            self.overflow.release(head)

    def _retire(self) -> None:
        inflight = self._inflight
        while inflight and inflight[0].stream.acked >= inflight[0].end_seq:
            stream, chunk, end_seq, end_byte, at = inflight.popleft()
            stream.base, stream.base_seq, stream.base_byte = chunk, end_seq, end_byte
            self._ack_delay += 0.3 * (time.monotonic() - at - self._ack_delay)
