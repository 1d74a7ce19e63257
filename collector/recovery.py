"""What is known again after a restart: torn tails, checkpoints, and the lines written after the last checkpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from contract import names, places

_CHUNK: Final = 1 << 20
_HEAD: Final = re.compile(rb'\{"_p":"([0-9a-f]{12}(?:-[0-9a-f]{4,8})?)","_q":(\d{1,16})[,}]')
_OURS: Final = b'{"_p":"'


@dataclass(slots=True)
class Checkpoint:
    """What the collector last noted about a session.

    Attributes:
        owner: root id of the producer the session belongs to; "" while nobody has written to it, "-" when its
            files were made by somebody who is no producer.
        aliases: root id -> session under which that other trainer's records of the same name are stored.
        files: category -> (bytes accounted for, inode).
        next: category -> producer -> next sequence.
        stored: category -> lines.
        dropped, skipped: records given up by producers as they told, and as the sequences show.
    """

    owner: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    next: dict[str, dict[str, int]] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    skipped: int = 0
    last_record: float | None = None


def load_checkpoint(base: Path, session: str) -> Checkpoint | None:
    """The checkpoint of a session; None when there is none that can be read."""
    try:
        found = orjson.loads(places.checkpoint_file(base, session).read_bytes())
        return Checkpoint(
            owner=str(found["owner"]),
            aliases={str(k): names.check_session(v) for k, v in found["aliases"].items()},
            files={str(k): (int(v["offset"]), int(v["inode"])) for k, v in found["files"].items()},
            next={str(c): {str(p): int(n) for p, n in by.items()} for c, by in found["next"].items()},
            stored={str(k): int(v) for k, v in found["stored"].items()},
            dropped=int(found["dropped"]),
            skipped=int(found["skipped"]),
            last_record=found["last_record"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save_checkpoint(base: Path, session: str, checkpoint: Checkpoint, sync: bool) -> None:
    """Write a checkpoint so that a crash leaves the old or the new one. Raises `OSError`."""
    content: dict[str, Any] = {
        "owner": checkpoint.owner,
        "aliases": checkpoint.aliases,
        "files": {k: {"offset": offset, "inode": inode} for k, (offset, inode) in checkpoint.files.items()},
        "next": checkpoint.next,
        "stored": checkpoint.stored,
        "dropped": checkpoint.dropped,
        "skipped": checkpoint.skipped,
        "last_record": checkpoint.last_record,
    }
    write_atomically(places.checkpoint_file(base, session), orjson.dumps(content), sync)


def write_atomically(path: Path, data: bytes, sync: bool = False) -> None:
    """Replace a file's content as a whole. Raises `OSError`, leaving the old content and no litter."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, f"short write to {temporary}")
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def repair_tail(fd: int) -> tuple[int, bytes]:
    """Make a data file end in a line feed; returns its size and what was cut off.

    A last line that only lacks its line feed gets it: its record is whole. A torn line of ours is cut: it was never
    acknowledged, so it comes again. What somebody else wrote is kept, and ended. Raises `OSError`.
    """
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size, b""
    begin, tail = size, b""
    while begin > 0 and b"\n" not in tail:
        step = min(begin, 65536)
        begin -= step
        tail = os.pread(fd, step, begin) + tail
    tail = tail.rpartition(b"\n")[2]
    begin = size - len(tail)
    if _is_object(tail) or not _torn(tail):
        os.lseek(fd, 0, os.SEEK_END)
        if os.write(fd, b"\n") != 1:
            raise OSError(28, "no room to end the last line")
        return size + 1, b""
    os.ftruncate(fd, begin)
    return begin, tail


def _torn(tail: bytes) -> bool:
    """Whether an unfinished line is one of ours, or the zeroes that some filesystems leave after a power cut."""
    head = tail.rstrip(b"\0")
    return _OURS.startswith(head[: len(_OURS)])


def _is_object(tail: bytes) -> bool:
    try:
        return type(orjson.loads(tail)) is dict
    except orjson.JSONDecodeError:
        return False


def cut_torn_tails(base: Path, cut: Callable[[str, bytes], None]) -> int:
    """Look at the last byte of every data file and repair what a crash tore; returns how many files were looked at.

    Args:
        cut: told the file's name and the bytes that were cut off.
    """
    looked = 0
    with os.scandir(base) as entries:
        data_files = [e.path for e in entries if names.split_file_name(e.name) and e.is_file(follow_symlinks=True)]
    for path in data_files:
        looked += 1
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                if not size or os.pread(fd, 1, size - 1) == b"\n":
                    continue
            finally:
                os.close(fd)
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                _, tail = repair_tail(fd)
            finally:
                os.close(fd)
            if tail:
                cut(Path(path).name, tail)
    return looked


@dataclass(slots=True)
class Scan:
    """What a stretch of a data file says: lines, next sequence by producer, the first producer, the size it ends at."""

    lines: int = 0
    next: dict[str, int] = field(default_factory=dict)
    first: str | None = None
    end: int = 0
    inode: int = 0


def scan(path: Path, known: tuple[int, int] | None, look: Callable[[bytes], None] | None = None) -> tuple[Scan, bool]:
    """Read the lines that `known` (bytes accounted for, inode) does not cover; True if that was the whole file.

    A missing file gives an empty scan. A file that was replaced or is shorter than known is read as a whole.
    Raises `OSError` for a file that is there and cannot be read.
    """
    found = Scan()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return found, True
    try:
        info = os.fstat(fd)
        found.inode = info.st_ino
        covered = known is not None and known[1] == info.st_ino and known[0] <= info.st_size
        at = known[0] if covered and known else 0
        found.end = at
        rest = b""
        while data := os.pread(fd, _CHUNK, at):
            at += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                found.end += len(line) + 1
                _take(found, line, look)
    finally:
        os.close(fd)
    return found, not covered


def _take(found: Scan, line: bytes, look: Callable[[bytes], None] | None) -> None:
    found.lines += 1
    head = _HEAD.match(line)
    if head is not None:
        producer, seq = head[1].decode(), int(head[2])
        if found.first is None:
            found.first = producer
        if seq >= found.next.get(producer, 0):
            found.next[producer] = seq + 1
    if look is not None:
        look(line)


def first_producer(path: Path) -> str | None:
    """Who wrote the first line of a data file: a producer id, "" for an empty or missing file, None for a stranger."""
    try:
        with path.open("rb") as file:
            line = file.readline(_CHUNK)
    except OSError:
        return ""
    head = _HEAD.match(line)
    return head[1].decode() if head else None if line else ""
