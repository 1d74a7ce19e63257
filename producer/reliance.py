"""Whether the sender may sleep because a collector on this machine takes the records out of the ring itself."""

from __future__ import annotations

import os
from typing import Final

from contract.live import NO, ORDERED, RELIED, WELCOME, LiveWords

#: Seconds between two rounds of a sender that relies on the collector: it frees blocks, and sees whether the collector beats.
RELIED_ROUND_S: Final = 0.25
#: Records a second from which on it is worth it; below, the sender wakes as rarely as the collector would.
_STEADY: Final = 30.0
#: Records that may wait for such a round: beyond, blocks must be freed more often than a sleeping sender does.
_MOST_WAITING: Final = 5_000

#: "0": every record crosses the socket.
ENV_RING: Final = "AVALIACOES_RING"


class Reliance:
    """Decides once a round, from what is logged and what the collector says in the ring.

    Args:
        live: the words of the ring that both write.
        buffer_records: records that may wait in memory.
        possible: whether a collector can see this ring at all.
    """

    def __init__(self, live: LiveWords, buffer_records: int, possible: bool) -> None:
        self._live = live
        self._most = min(_MOST_WAITING, buffer_records // 4)
        self._possible = possible and ORDERED and os.environ.get(ENV_RING, "1") != "0"
        self._since = 0.0
        self._logged = 0
        self._steady = False

    def decide(self, now: float, now_ns: int, logged: int, waiting: int, hurried: bool) -> bool:
        """Whether to send nothing in this round.

        Args:
            now, now_ns: CLOCK_MONOTONIC in seconds and in nanoseconds.
            logged: records so far.
            waiting: those of them that are not acknowledged.
            hurried: somebody waits for the last record to be stored.
        """
        if not self._possible:
            return False
        fresh = logged - self._logged
        if now - self._since >= RELIED_ROUND_S:
            self._steady = fresh >= _STEADY * (now - self._since)
            self._since, self._logged = now, logged
        wished = self._steady and fresh <= self._most and waiting <= self._most and not hurried
        relied = wished and self._live.fresh(now_ns)
        self._live.wish = RELIED if relied else WELCOME if wished else NO
        return relied

    def end(self) -> None:
        """No more records come."""
        self._live.wish = NO
