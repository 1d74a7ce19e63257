"""Opening a file of the data folder by the parts of its name, never through a link, never anything but a file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: A pipe in place of a file must not make the open wait for its other end.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TAIL: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file: descriptor, bytes, and a tag that changes when the file is replaced or written to."""

    fd: int
    size: int
    tag: str


def open_below(base: Path, parts: tuple[str, ...]) -> Opened | None:
    """Open `base/parts...`; None if it is not there, if any part is a symbolic link, or if it is no plain file.

    The data folder itself may be reached through links: that was the user's choice.
    """
    try:
        at = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    fd = -1
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        fd = os.open(parts[-1], _FILE, dir_fd=at)
        info = os.fstat(fd)
    except OSError:
        if fd >= 0:
            os.close(fd)
        return None
    finally:
        os.close(at)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        return None
    return Opened(fd, info.st_size, f'"{info.st_ino:x}-{info.st_mtime_ns:x}-{info.st_size:x}"')


def whole_lines(fd: int, size: int) -> int:
    """Bytes of a growing file up to the end of its last complete line, looked for in its last 64 KiB."""
    begin = max(0, size - _TAIL)
    at = os.pread(fd, size - begin, begin).rfind(b"\n")
    return begin + at + 1 if at >= 0 else begin
