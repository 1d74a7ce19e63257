"""Messages that were real once: flipped, cut, spliced, doubled, and rewritten by somebody who knows msgpack."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack

from contract import names, wire

SESSIONS = ("fuzz_20250101_000000", "fuzz_20250101_000001")
CATEGORIES = ("training", "gradients", "rewards", "alerts", "lifecycle", "my_own")
Parts = list[bytes]

NASTY_NAMES: tuple[Any, ...] = (
    "../../etc/passwd", "..", ".", "", "/", "a/b", "a\0b", "\0", "é", "a\u202eb", "x" * 101, "x" * 100_000, "-x", "A", "con",
    "training\n", b"training", b"\xff\xfe", None, 1, [], {}, "fuzz_20250101_000000", "!offsets",
)  # fmt: skip
NASTY_NUMBERS: tuple[Any, ...] = (
    -1, 0, 1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64 - 1, 1.5, float("nan"), float("inf"), True, None, "7", [], wire.MAX_BATCH_RECORDS + 1,
)  # fmt: skip


def deep(levels: int, mapping: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if mapping else [value]
    return value


NASTY_VALUES: tuple[Callable[[random.Random], Any], ...] = (
    lambda rng: float("nan"),
    lambda rng: float("-inf"),
    lambda rng: None,
    lambda rng: rng.choice((2**64 - 1, -(2**63), 1e308, -0.0)),
    lambda rng: rng.randbytes(rng.randrange(64)),
    lambda rng: "x" * rng.choice((0, 1, 300, 5000)),
    lambda rng: "\u0000\u2028\U0001f600",
    lambda rng: deep(rng.choice((1, 19, 20, 21, 100, 500)), rng.random() < 0.5),
    lambda rng: msgpack.ExtType(rng.randrange(128), rng.randbytes(rng.randrange(20))),
    lambda rng: msgpack.Timestamp(rng.randrange(2**32)),
    lambda rng: {f"m{i}": i for i in range(rng.choice((1, 999, 1001)))},
    lambda rng: list(range(rng.choice((1, 100, 3000)))),
    lambda rng: {rng.choice((1, None, b"k", 1.5, True)): 1},
    lambda rng: {"_p": "x", "_q": -1, "timestamp": "later", "step": "?"},
)
#: Heads of msgpack values that promise far more than comes: array32, map32, str32, bin32, ext32.
BOMBS = (
    *(head + b"\xff" * 4 for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")),
    b"\xc1",
    b"\x91" * 60_000,
    b"\x81\xa1a" * 15_000,
    b"\xdc\xff\xff" + b"\x80" * 65_000,
)


class Mutator:
    """Endless broken messages from a seed; the same seed gives the same messages."""

    def __init__(self, seed: int, producers: int = 24) -> None:
        self.rng = random.Random(seed)
        self._producers = [f"{self.rng.getrandbits(48):012x}" for _ in range(producers)]
        self._seeds = [self._real() for _ in range(200)]
        self._next: dict[tuple[str, str], int] = {}

    def _real(self) -> Parts:
        """What a producer might send."""
        rng = self.rng
        category, count, first = rng.choice(CATEGORIES), rng.choice((1, 1, 2, 5, 20)), rng.choice((0, 0, 1, 5, 40))
        records = []
        for step in range(first, first + count):
            metrics: dict[str, Any] = {
                "loss": rng.random(),
                "grad_norm": rng.random(),
                "note": "ok",
                "v": [1, {"a": 2}],
            }
            if category == "alerts":
                metrics = {"id": f"{rng.getrandbits(64):016x}", "rule": "r", "level": "INFO", "state": "firing"}
            elif category == "lifecycle":
                metrics = rng.choice(
                    (
                        {"event": "start", "host": "h", "config": {"lr": 0.1}},
                        {"event": "heartbeat", "logged": 5},
                        {"event": "gap", "category": "training", "dropped": 1},
                        {"event": "adopted", "producer": self._producers[0], "records": 1},
                        {"event": "end", "status": "finished"},
                    )
                )
            records.append([1.7e9 + step, step, metrics])
        header = wire.pack_header(rng.choice(self._producers), category, first, count, 0)
        topic = wire.topic_of(rng.choice(SESSIONS), category)
        return [topic, header, b"".join(msgpack.packb(record) for record in records)]

    def message(self) -> Parts:
        """One message, mutated once or a few times."""
        rng = self.rng
        parts = list(rng.choice(self._seeds))
        if rng.random() < 0.6:
            self._continue(parts)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            way = rng.choices(_WAYS, _WEIGHTS)[0]
            parts = way(self, parts)
        # A frame beyond libzmq's own bound ends the connection before the decoder sees it: another test's business.
        return [part[: wire.MAX_MESSAGE_BYTES] for part in parts[:20]]

    def _continue(self, parts: Parts) -> None:
        """The next sequences of its stream, so that the records themselves are looked at and not taken for known ones."""
        producer, category, _, count, _ = msgpack.unpackb(parts[1])
        first = self._next.get((producer, category), 100)
        self._next[producer, category] = first + count
        parts[1] = wire.pack_header(producer, category, first, count, first)

    # Ways

    def flip(self, parts: Parts) -> Parts:
        """Some bits of one part, mostly of the payload (each new name would be one more file)."""
        which = self._part(parts)
        if which is not None and parts[which]:
            data = bytearray(parts[which])
            for _ in range(self.rng.choice((1, 1, 2, 8))):
                data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            parts[which] = bytes(data)
        return parts

    def truncate(self, parts: Parts) -> Parts:
        which = self._part(parts)
        if which is not None and parts[which]:
            cut = self.rng.randrange(len(parts[which]))
            parts[which] = parts[which][:cut] if self.rng.random() < 0.7 else parts[which][cut:]
        return parts

    def splice(self, parts: Parts) -> Parts:
        other = self.rng.choice(self._seeds)
        which = self._part(parts)
        if which is not None:
            source = other[min(which, len(other) - 1)]
            a, b = self.rng.randrange(len(parts[which]) + 1), self.rng.randrange(len(source) + 1)
            parts[which] = parts[which][:a] + source[b:]
        return parts

    def double(self, parts: Parts) -> Parts:
        which = self._part(parts)
        if which is not None:
            data = parts[which]
            a = self.rng.randrange(len(data) + 1)
            b = self.rng.randrange(a, len(data) + 1)
            parts[which] = data[:b] + data[a:b] * self.rng.choice((1, 2, 50)) + data[b:]
        return parts

    def insert(self, parts: Parts) -> Parts:
        which = self._part(parts)
        if which is not None:
            at = self.rng.randrange(len(parts[which]) + 1)
            parts[which] = parts[which][:at] + self.rng.randbytes(self.rng.choice((1, 4, 40))) + parts[which][at:]
        return parts

    def frames(self, parts: Parts) -> Parts:
        """Parts lost, doubled, swapped, empty."""
        way = self.rng.randrange(5)
        if way == 0 and len(parts) > 1:
            del parts[self.rng.randrange(len(parts))]
        elif way == 1:
            parts.insert(self.rng.randrange(len(parts) + 1), self.rng.choice(parts))
        elif way == 2:
            self.rng.shuffle(parts)
        elif way == 3:
            parts[self.rng.randrange(len(parts))] = b""
        else:
            parts[0] = self.rng.choice(
                (b"", b"\x00", b"\x01", b"\x01tm1/", b"\x00tm1/", b"A\x80", b"tm1/!offsets", b"tm2/a/b")
            )
        return parts

    def header(self, parts: Parts) -> Parts:
        """A well-formed header with one field that is not."""
        if len(parts) < 2:
            return parts
        try:
            fields = list(msgpack.unpackb(parts[1], strict_map_key=False))
        except Exception:
            return parts
        if not fields:
            return parts
        way = self.rng.randrange(8)
        if way == 0:
            del fields[self.rng.randrange(len(fields))]
        elif way == 1:
            fields.append(self.rng.choice(NASTY_NUMBERS))
        else:
            which = self.rng.randrange(len(fields))
            fields[which] = self.rng.choice(NASTY_NAMES if which < 2 else NASTY_NUMBERS)
        parts[1] = msgpack.packb(fields)
        return parts

    def names(self, parts: Parts) -> Parts:
        """A topic with a name that may not be, told the same way in the header."""
        if len(parts) < 2:
            return parts
        name = self.rng.choice([name for name in NASTY_NAMES if isinstance(name, str)]).encode()
        session, category = (name, b"training") if self.rng.random() < 0.5 else (SESSIONS[0].encode(), name)
        parts[0] = b"tm1/" + session + b"/" + category
        parts[1] = msgpack.packb((self._producers[0], category.decode(), 0, 1, 0))
        return parts

    def values(self, parts: Parts) -> Parts:
        """Records that unpack well and hold what no record should."""
        if len(parts) < 3:
            return parts
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(parts[2])
        try:
            records = list(unpacker)
        except Exception:
            return parts
        if not records:
            return parts
        which = self.rng.randrange(len(records))
        value = self.rng.choice(NASTY_VALUES)(self.rng)
        way = self.rng.randrange(4)
        record = records[which]
        if way == 0 or not isinstance(record, list) or len(record) != 3:
            records[which] = value
        elif way == 3 and isinstance(record[2], dict):
            record[2] = {**record[2], self.rng.choice(("loss", "_p", "_q", "timestamp", "step", "x" * 201, "")): value}
        else:
            record[self.rng.randrange(3)] = value
        parts[2] = b"".join(msgpack.packb(one) for one in records)
        return parts

    def bomb(self, parts: Parts) -> Parts:
        if len(parts) < 3:
            return parts
        bomb = self.rng.choice(BOMBS)
        if self.rng.random() < 0.2:
            parts[1] = bomb[:200]
        else:
            at = self.rng.randrange(len(parts[2]) + 1)
            parts[2] = bomb if self.rng.random() < 0.5 else parts[2][:at] + bomb
        return parts

    def _part(self, parts: Parts) -> int | None:
        if not parts:
            return None
        return self.rng.choices(range(min(3, len(parts))), (1, 8, 40)[: min(3, len(parts))])[0]


_WAYS = (
    Mutator.flip, Mutator.truncate, Mutator.splice, Mutator.double, Mutator.insert, Mutator.frames, Mutator.header, Mutator.names,
    Mutator.values, Mutator.bomb,
)  # fmt: skip
#: A bomb costs a hundred times a flip.
_WEIGHTS = (20, 8, 8, 8, 8, 6, 12, 4, 20, 1)

assert names.MAX_SESSION_CHARS == 100  # NASTY_NAMES holds one that is a character too long
