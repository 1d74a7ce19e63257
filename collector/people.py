"""Who is there: producers heard of, their last heartbeats, and whether the last one has gone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contract import names

#: A producer beats every 5 s; one that said nothing for this long and did not say goodbye is gone.
SILENT_S: Final = 15.0
#: A client that starts a collector needs a moment to connect, more on a busy machine.
GRACE_S: Final = 20.0
#: A producer may tell any number; sums of them must still fit into JSON's 64 bits.
MAX_TOLD: Final = 1 << 53
_REMEMBERED: Final = 5_000
_SHOWN: Final = 500


@dataclass(slots=True)
class Person:
    """One producer, as last heard (monotonic seconds)."""

    session: str
    last: float
    ended: bool = False
    beat: dict[str, Any] = field(default_factory=dict)


class People:
    """The producers heard of since this process started, those heard longest ago first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Person] = OrderedDict()
        #: Producers ever heard of.
        self.met = 0

    def heard(self, producer: str, session: str, now: float) -> None:
        """Something of this producer arrived."""
        person = self._known.get(producer)
        if person is None:
            self._known[producer] = Person(session, now)
            self.met += 1
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            person.last = now
            self._known.move_to_end(producer)

    def learn(self, producer: str, session: str, records: Sequence[Any]) -> int:
        """Take stored lifecycle records; returns how many records the producer says it had to drop."""
        dropped = 0
        for record in records:
            metrics = record[2] if type(record) in (tuple, list) and len(record) == 3 else None
            if type(metrics) is not dict:
                continue
            event = metrics.get("event")
            person = self._known.get(producer)
            if event == "gap" and type(metrics.get("dropped")) is int:
                dropped = min(dropped + max(0, metrics["dropped"]), MAX_TOLD)
            elif person is not None and event in ("start", "heartbeat"):
                person.ended = False
                if event == "heartbeat":
                    person.session = session
                    person.beat = {
                        k: v for k, v in list(metrics.items())[:32] if type(k) is str and type(v) in (int, float)
                    }
            elif person is not None and event == "end":
                person.ended = True
        return dropped

    def gone(self, producer: str) -> None:
        """This producer's process has ended."""
        person = self._known.get(producer)
        if person is not None:
            person.ended = True

    def count(self, now: float, seconds: float) -> int:
        """How many were heard of within `seconds`."""
        found = 0
        for person in reversed(self._known.values()):
            if now - person.last > seconds:
                break
            found += 1
        return found

    def anybody(self) -> bool:
        """Whether anyone was ever heard."""
        return bool(self._known)

    def alive(self, now: float) -> bool:
        """Whether somebody who did not say goodbye was heard lately."""
        for person in reversed(self._known.values()):
            if now - person.last > SILENT_S:
                return False
            if not person.ended:
                return True
        return False

    def table(self, now: float) -> dict[str, dict[str, Any]]:
        """The producers heard last, newest first, for the status file."""
        rows: dict[str, dict[str, Any]] = {}
        for producer, person in reversed(self._known.items()):
            rows[producer] = {
                **person.beat,
                "session": person.session,
                "root": names.root_of(producer),
                "heard_s_ago": round(now - person.last, 3),
                "ended": person.ended,
            }
            if len(rows) == _SHOWN:
                break
        return rows
