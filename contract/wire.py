"""Frames between producer, collector and the feed's readers.

    data   producer -> collector   [topic, header, payload]
           topic    b"tm1/<session>/<category>"
           header   msgpack [producer, category, first_seq, count, floor]
           payload  `count` concatenated msgpack arrays [timestamp, step, {metric: value}]
    ack    collector -> producers  one frame, b"A" + msgpack {"": {"": milliseconds}, producer: {category: next_seq}, ...},
                                   cumulative; `milliseconds`, first and optional, is the usual time between two of them
    feed   collector -> readers    [topic, header, lines]
           header   msgpack [file name, first byte, end byte]; lines as they are on disk
           topic    b"tm1/!offsets", header msgpack {file name: committed size}: what may be read, each half second

`floor` is the lowest sequence that this producer can still deliver: when it is above what the collector expects,
what lies between was dropped by the producer, and the collector says so and goes on instead of asking for ever.
A part that begins with 0x00 or 0x01 would be read as a subscription by an XPUB: topics and acks never do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgpack

from contract import names

PREFIX: Final = b"tm1/"
OFFSETS_TOPIC: Final = b"tm1/!offsets"
SUBSCRIBED: Final = b"\x01" + PREFIX
UNSUBSCRIBED: Final = b"\x00" + PREFIX

#: One frame holds one block of the ring at most (`blocks.BLOCK_BYTES`), and a margin.
MAX_PAYLOAD_BYTES: Final = 64 * 1024
MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_TOPIC_BYTES: Final = 256
MAX_BATCH_RECORDS: Final = 16_384
MAX_SEQ: Final = 1 << 53
#: What a producer believes at most when it is told how rarely acks come.
MAX_ACK_INTERVAL_S: Final = 10.0
#: How the interval in an ack begins: the key "", a map of one, the key "".
_EVERY: Final = b"\xa0\x81\xa0"


class FrameRefused(ValueError):
    """A message from outside that breaks the protocol. `reason` is a short word for counting."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True)  # not frozen: making one would cost ten times as much, and one is made for each message
class Batch:
    """The envelope of `count` records of one producer and category, sequence `first_seq` onwards."""

    session: str
    category: str
    producer: str
    first_seq: int
    count: int
    floor: int


def topic_of(session: str, category: str) -> bytes:
    return f"tm1/{session}/{category}".encode()


def pack_header(producer: str, category: str, first_seq: int, count: int, floor: int) -> bytes:
    packed: bytes = msgpack.packb((producer, category, first_seq, count, floor))
    return packed


def unpack_batch(parts: list[bytes]) -> tuple[Batch, bytes]:
    """Check the envelope of a data message and return it with the payload, still packed.

    Raises:
        FrameRefused: with reason "parts", "topic", "header", "name", "range" or "oversize".
    """
    if len(parts) != 3:
        raise FrameRefused("parts", f"expected 3 frames (topic, header, payload), got {len(parts)}")
    topic, header, payload = parts
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise FrameRefused("oversize", f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} allowed")
    if len(header) > 256 or len(topic) > MAX_TOPIC_BYTES:
        raise FrameRefused("oversize", f"topic of {len(topic)} and header of {len(header)} bytes, at most 256 each")
    session, category = names_in(topic)
    try:
        fields = msgpack.unpackb(header, max_array_len=8, max_map_len=0)
        producer, named, first_seq, count, floor = fields
    except Exception as error:  # msgpack raises many kinds on hostile bytes
        raise FrameRefused("header", f"expected [producer, category, first_seq, count, floor]: {error}") from error
    if type(first_seq) is not int or type(count) is not int or type(floor) is not int:
        raise FrameRefused("header", "first_seq, count and floor must be integers")
    if not (0 <= first_seq < MAX_SEQ and 1 <= count <= MAX_BATCH_RECORDS and 0 <= floor <= first_seq):
        raise FrameRefused("range", f"first_seq {first_seq}, count {count}, floor {floor} out of range")
    if named != category:
        raise FrameRefused("header", f"topic says {category!r:.50}, header says {named!r:.50}")
    try:
        names.check_producer(producer)
    except names.NameRefused as error:
        raise FrameRefused("name", str(error)) from error
    return Batch(session, category, producer, first_seq, count, floor), payload


@lru_cache(maxsize=4_096)
def names_in(topic: bytes) -> tuple[str, str]:
    """Session and category of a topic of at most 256 bytes; the same few come again and again.

    Raises:
        FrameRefused: with reason "topic" or "name".
    """
    try:
        tag, session, category = topic.decode("ascii").split("/")
    except ValueError as error:
        raise FrameRefused("topic", f"expected tm1/<session>/<category>, got {topic[:80]!r}") from error
    if tag != "tm1":
        raise FrameRefused("topic", f"expected protocol tm1, got {topic[:80]!r}")
    try:
        return names.check_session(session), names.check_category(category)
    except names.NameRefused as error:
        raise FrameRefused("name", str(error)) from error


def unpack_records(payload: bytes | memoryview, count: int) -> tuple[Any, ...]:
    """The `count` records of a payload, each a tuple `(timestamp, step, metrics)` but not yet checked.

    One call into msgpack for the whole batch: the count becomes the head of an array, so a payload with more or
    fewer records than announced is refused as a whole. Arrays come as tuples, so that one may be a key.

    Raises:
        FrameRefused: reason "payload".
    """
    try:
        found: tuple[Any, ...] = msgpack.unpackb(
            b"\xdd" + count.to_bytes(4, "big") + payload,
            use_list=False,
            strict_map_key=False,
            max_str_len=names.MAX_RECORD_BYTES,
            max_bin_len=names.MAX_RECORD_BYTES,
            max_array_len=MAX_BATCH_RECORDS,
            max_map_len=names.MAX_METRICS_PER_RECORD,
            max_ext_len=names.MAX_RECORD_BYTES,
        )
    except Exception as error:  # msgpack raises many kinds on hostile bytes
        raise FrameRefused("payload", f"expected {count} packed records: {type(error).__name__}: {error}") from error
    return found


def pack_ack(moved: dict[str, dict[str, int]], every_s: float = 0.0) -> bytes:
    """An ack; `every_s` is after how many seconds the next one usually follows (0: not said)."""
    said: dict[str, dict[str, int]] = {"": {"": round(1000 * every_s)}} if every_s else {}
    packed: bytes = msgpack.packb(said | moved)
    return b"A" + packed


def ack_interval(frame: bytes) -> float | None:
    """Seconds after which acks usually follow each other, as an ack says; None where it does not.

    Does not look at the rest of the frame, which speaks of other producers mostly.
    """
    at = frame.find(_EVERY, 2, 6 + len(_EVERY))
    if at < 0:
        return None
    unpacker = msgpack.Unpacker(max_buffer_size=16)
    unpacker.feed(frame[at + len(_EVERY) : at + len(_EVERY) + 9])
    try:
        every = unpacker.unpack()
    except Exception:  # msgpack raises many kinds on hostile bytes
        return None
    return min(every / 1000, MAX_ACK_INTERVAL_S) if type(every) is int and every >= 0 else None


def unpack_ack(frame: bytes, producer: str) -> dict[str, int]:
    """`{category: next_seq}` for one producer, empty if the ack does not speak of it.

    Raises:
        FrameRefused: reason "ack".
    """
    if frame[:1] != b"A":
        raise FrameRefused("ack", f"expected an ack, got {frame[:20]!r}")
    if producer.encode() not in frame:
        return {}
    try:
        found = msgpack.unpackb(frame[1:])[producer]
        return {category: seq for category, seq in found.items() if type(seq) is int and 0 <= seq < MAX_SEQ}
    except KeyError:
        return {}
    except Exception as error:
        raise FrameRefused("ack", f"broken ack: {error}") from error


def pack_feed(file: str, begin: int, end: int) -> bytes:
    packed: bytes = msgpack.packb((file, begin, end))
    return packed


def unpack_feed(header: bytes) -> tuple[str, int, int]:
    """`(file name, first byte, end byte)` of a feed message.

    Raises:
        FrameRefused: reason "feed".
    """
    try:
        file, begin, end = msgpack.unpackb(header)
        if type(file) is not str or type(begin) is not int or type(end) is not int or "/" in file:
            raise ValueError(repr(file)[:60])
    except Exception as error:
        raise FrameRefused("feed", f"expected [file, begin, end]: {error}") from error
    return file, begin, end
