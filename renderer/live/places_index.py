"""Where in a file the records of a range of steps lie: one entry per megabyte or so. Pure."""

from __future__ import annotations

from typing import Any, Final

from renderer.gather import Floats

#: Bytes that one entry covers, until there are too many entries: then each covers twice as much.
ENTRY_BYTES: Final = 1 << 20
MAX_ENTRIES: Final = 4096

#: Byte at which an entry begins and ends, number of its first record, least and greatest step, first time.
Entry = list[Any]


class PlacesIndex:
    """Entries per category, in the order of the file; each covers what lies between its two byte offsets."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self._size: dict[str, int] = {}

    def add(self, category: str, at: int, length: int, first: int, steps: Floats, times: Floats) -> None:
        """Lines of `length` bytes from byte `at` hold records from number `first` on, with these steps and times."""
        entries = self.entries.setdefault(category, [])
        low, high = float(steps.min()), float(steps.max())
        if entries and entries[-1][1] == at and entries[-1][1] - entries[-1][0] < self._size.get(category, ENTRY_BYTES):
            last = entries[-1]
            last[1], last[3], last[4] = at + length, min(last[3], low), max(last[4], high)
            return
        if len(entries) >= MAX_ENTRIES:
            self._size[category] = 2 * self._size.get(category, ENTRY_BYTES)
            self.entries[category] = entries = [_joined(entries[i : i + 2]) for i in range(0, len(entries), 2)]
        entries.append([at, at + length, first, low, high, float(times[0])])

    def covered(self) -> int:
        """Bytes of all files that entries cover."""
        return sum(entries[-1][1] for entries in self.entries.values() if entries)

    def forget(self, category: str) -> None:
        self.entries.pop(category, None)
        self._size.pop(category, None)


def _joined(pair: list[Entry]) -> Entry:
    first, last = pair[0], pair[-1]
    return [first[0], last[1], first[2], min(first[3], last[3]), max(first[4], last[4]), first[5]]
