"""Reading data files while they grow: by byte offset, holding back the half-written last line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contract.lines import LineRefused, Record, decode_line

_CHUNK = 1 << 20


@dataclass(slots=True)
class Tail:
    """The records of one file, each once, as they come.

    `read_new()` returns what was appended since the last call. A last line without its line feed is waited for;
    a broken line is skipped and counted in `broken`. A file that was replaced or cut short is read from its start.
    """

    path: Path
    position: int = 0
    broken: int = 0
    _inode: int = field(default=0, repr=False)

    def read_new(self, limit: int | None = None, up_to: int | None = None) -> list[Record]:
        """Records appended since the last call.

        Args:
            limit: bytes to read at most, about (at least one line is read, however long it is).
            up_to: offset not to read beyond (the collector's committed size).
        """
        return [record for record, _ in self.read_new_at(limit, up_to)]

    def read_new_at(self, limit: int | None = None, up_to: int | None = None) -> list[tuple[Record, int]]:
        """As `read_new`, with the offset at which each record's line ends."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        found: list[tuple[Record, int]] = []
        try:
            info = os.fstat(fd)
            if info.st_ino != self._inode or info.st_size < self.position:
                if self._inode:
                    self.position = 0
                self._inode = info.st_ino
            end = info.st_size if up_to is None else min(info.st_size, up_to)
            stop = end if limit is None else min(end, self.position + limit)
            rest = b""
            at = self.position
            while at < stop or (rest and not found and at < end):
                data = os.pread(fd, min(_CHUNK, (stop if at < stop else end) - at), at)
                if not data:
                    break
                at += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.position += len(line) + 1
                    if line:
                        self._decode(line, found)
        finally:
            os.close(fd)
        return found

    def _decode(self, line: bytes, found: list[tuple[Record, int]]) -> None:
        try:
            found.append((decode_line(line), self.position))
        except LineRefused:
            self.broken += 1


def last_records(path: Path, count: int) -> list[Record]:
    """The last `count` records of a file, oldest first, reading backwards from its end only as far as needed."""
    if count <= 0:
        return []
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        at = os.fstat(fd).st_size
        pieces: list[bytes] = []
        feeds = 0
        step = min(_CHUNK, max(4096, count * 256))
        while at > 0 and feeds <= count:
            begin = max(0, at - step)
            piece = os.pread(fd, at - begin, begin)
            feeds += piece.count(b"\n")
            pieces.append(piece)
            at = begin
            step = min(step * 2, 16 * _CHUNK)
    finally:
        os.close(fd)
    data = b"".join(reversed(pieces))
    lines = data.split(b"\n")[:-1]
    if at > 0:
        lines = lines[1:]
    found: list[Record] = []
    for line in lines[-count:]:
        try:
            found.append(decode_line(line))
        except LineRefused:
            continue
    return found


def read_all(path: Path) -> Iterator[Record]:
    """Every record of a file, lazily, in constant memory; broken lines are skipped."""
    tail = Tail(path)
    while True:
        records = tail.read_new(limit=_CHUNK)
        if not records:
            return
        yield from records
