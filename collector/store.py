"""The data files: one write per file and round, and what happens when a disk or a user gets in the way.

A write that the disk refuses, wholly or in part, is cut back to the last whole line; nothing beyond it is acknowledged,
the file rests for a moment (0.1 to 2 s) and the producers send again. A file that was moved or deleted under us is
opened anew. Only so many descriptors stay open; the rest are reopened when needed.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import stat
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.counts import Counts
from collector.recovery import repair_tail
from contract import places

MAX_OPEN_FILES: Final = 4_096
#: Looking up the path costs as much as a small write, so it is done this often (seconds); the descriptor itself is
#: looked at after each write.
LOOK_AT_PATH_S: Final = 0.25
#: With more files than this it is done less often, so that it costs no more than with so many.
_LOOK_FILES: Final = 100
#: From so many files on one call syncs their whole file system: cheaper than a call for each, which would need the
#: interpreter twice.
_SYNC_WHOLE_FROM: Final = 128
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MOST_S: Final = 2.0


@dataclass(slots=True, eq=False)
class DataFile:
    """One data file. `size` is what is committed: whole lines, all of them accounted for."""

    name: str
    fd: int = -1
    inode: int = 0
    device: int = 0
    size: int = 0
    torn: bool = False
    dirty: bool = False
    looked: float = 0.0
    changed: float = -1e9
    retry_at: float = 0.0
    pause: float = 0.0
    error: str | None = None


class Syncer:
    """fdatasync in a thread of its own, so that the loop never waits for a disk. It owns the descriptors it is given."""

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[tuple[int, Callable[[int], None]] | None] = queue.SimpleQueue()
        self.errors: deque[str] = deque(maxlen=100)
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def take(self, fd: int, how: Callable[[int], None] | None = None) -> None:
        """Sync a file (or, by `how`, what it stands for), then close the descriptor."""
        self._todo.put((fd, how or sync_data))

    def backlog(self) -> int:
        return self._todo.qsize()

    def close(self, seconds: float) -> None:
        """Finish what was given, for at most `seconds`."""
        self._todo.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            fd, how = item
            try:
                how(fd)
            except OSError as error:
                self.errors.append(str(error))
            finally:
                os.close(fd)


def _room_for_files() -> int:
    """A quarter of the descriptors this process may have: each may be duplicated for a sync, and producers need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else max(32, min(MAX_OPEN_FILES, soft // 4))


def sync_data(fd: int) -> None:
    """Put a file's data on the disk; where there is no fdatasync (macOS), all of it. Raises `OSError`."""
    getattr(os, "fdatasync", os.fsync)(fd)


_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def sync_file_system(fd: int) -> None:
    """Put all data of the file system that holds `fd` on the disk (Linux). Raises `OSError`."""
    if _syncfs is not None and _syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Store:
    """All data files of one data folder.

    Args:
        base: the data folder.
        counts: where errors and reopened files are counted and announced.
        power: sync each write before it counts as done.
        quarantine: told `(file name, bytes)` when a torn line had to be cut off.
        max_open: descriptors kept open at most; by default as many as the process's limit leaves room for.
    """

    def __init__(
        self,
        base: Path,
        counts: Counts,
        power: bool = False,
        quarantine: Callable[[str, bytes], None] = lambda _name, _tail: None,
        max_open: int | None = None,
    ) -> None:
        self._base = base
        self._counts = counts
        self._power = power
        self._quarantine = quarantine
        self._max_open = max_open or _room_for_files()
        self._files: dict[str, DataFile] = {}
        self._open: OrderedDict[str, DataFile] = OrderedDict()
        self._dirty: set[DataFile] = set()
        self._syncer = Syncer()
        self.failing: dict[str, DataFile] = {}

    def file(self, name: str) -> DataFile:
        """The file of that name; nothing is opened yet."""
        found = self._files.get(name)
        if found is None:
            found = self._files[name] = DataFile(name)
        return found

    def forget(self, name: str) -> None:
        """Close a file and drop what is known of it."""
        file = self._files.pop(name, None)
        if file is not None:
            self.failing.pop(name, None)
            self._close(file)

    def waits(self, file: DataFile, now: float) -> bool:
        """Whether this file rests after an error."""
        return file.retry_at > now

    def append(self, file: DataFile, data: bytes) -> int:
        """Write whole lines; returns how many bytes of `data` are stored, 0 to all, always ending at a line's end.

        Never raises `OSError`: a file that cannot be written is counted, announced and rests.
        """
        now = time.monotonic()
        try:
            if file.fd >= 0 and now - file.looked > LOOK_AT_PATH_S * max(1.0, len(self._open) / _LOOK_FILES):
                self._look_at_path(file, now)
            stored = self._write(file, data, now)
            if stored < 0:
                stored = self._write(file, data, now)
            if stored < 0:
                raise OSError(5, "the file is deleted as fast as it is made")
        except OSError as error:
            self._failed(file, error, now)
            return 0
        file.changed = now
        if not self._power and not file.dirty:
            file.dirty = True
            self._dirty.add(file)
        if stored < len(data):
            self._failed(file, OSError(28, f"only {stored} of {len(data)} bytes fitted"), now)
        elif file.error is not None:
            self._counts.note(f"{file.name} can be written again")
            self.failing.pop(file.name, None)
            file.error, file.pause = None, 0.0
        return stored

    def _write(self, file: DataFile, data: bytes, now: float) -> int:
        """One write; -1 when it went into a file that somebody had deleted. Raises `OSError`, leaving `torn` set."""
        if file.fd < 0:
            self._open_file(file, now)
        fd = file.fd
        if file.torn:
            os.ftruncate(fd, file.size)
        file.torn = True
        written = os.write(fd, data)
        info = os.fstat(fd)
        if info.st_nlink == 0:
            self._reopen(file, "was deleted")
            return -1
        if written < len(data):
            good = data.rfind(b"\n", 0, written) + 1
            os.ftruncate(fd, info.st_size - written + good)
            info, written = os.fstat(fd), good
        if self._power:
            sync_data(fd)
        if info.st_size != file.size + written:
            self._counts.note(f"{file.name} was changed by somebody else while the collector wrote it", file.name)
        file.size = info.st_size
        file.torn = False
        return written

    def _open_file(self, file: DataFile, now: float) -> None:
        path = self._base / file.name
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            places.prepare_base(self._base)
            fd = os.open(path, flags, 0o666)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(22, f"{path} is no regular file")
            if self._power and info.st_size == 0:
                self._sync_folder()
            if not (file.torn and info.st_ino == file.inode):
                size, tail = repair_tail(fd)
                file.size, file.torn = size, False
                if tail:
                    self._quarantine(file.name, tail)
        except OSError:
            os.close(fd)
            raise
        file.fd, file.inode, file.device, file.looked = fd, info.st_ino, info.st_dev, now
        self._open[file.name] = file
        while len(self._open) > self._max_open:
            oldest = next(iter(self._open.values()))
            self._close(oldest)

    def _look_at_path(self, file: DataFile, now: float) -> None:
        file.looked = now
        self._open.move_to_end(file.name)
        try:
            info = os.stat(f"{self._base}/{file.name}")  # noqa: PTH116 - a Path costs more than the call
        except FileNotFoundError:
            self._reopen(file, "was moved or deleted")
            return
        if info.st_ino != file.inode:
            self._reopen(file, "was replaced")

    def _reopen(self, file: DataFile, what: str) -> None:
        self._counts.reopened += 1
        self._counts.note(f"{file.name} {what}; going on in a new file of that name", f"reopen {file.name}")
        self._close(file)
        file.torn = False
        file.size = 0

    def _failed(self, file: DataFile, error: OSError, now: float) -> None:
        file.pause = min(BACKOFF_MOST_S, file.pause * 2 if file.pause else BACKOFF_FIRST_S)
        file.retry_at = now + file.pause
        text = f"cannot write {file.name}: {error.strerror or error}"
        self._counts.write_errors += 1
        self._counts.write_error = text
        if file.error is None:
            self._counts.note(f"{text}; trying again, producers keep what is not stored")
        file.error = text
        self.failing[file.name] = file
        if file.torn and file.fd >= 0:
            with suppress(OSError):
                os.ftruncate(file.fd, file.size)
                file.torn = False

    def _close(self, file: DataFile) -> None:
        self._open.pop(file.name, None)
        if file.fd >= 0:
            if file.dirty and self._syncer.backlog() < self._max_open:
                self._syncer.take(file.fd)
                file.dirty = False
                self._dirty.discard(file)
            else:
                self._close_at_once(file)
            file.fd = -1

    def _close_at_once(self, file: DataFile) -> None:
        """Close in the loop: clean, or so many wait for the disk already that descriptors would run out."""
        try:
            if file.dirty:
                sync_data(file.fd)
        except OSError as error:
            self._syncer.errors.append(str(error))
        finally:
            os.close(file.fd)
        file.dirty = False
        self._dirty.discard(file)

    def sync(self) -> None:
        """Have what was written since the last call put on the disk, in the background."""
        if self._syncer.backlog() > 2 * self._max_open:
            return  # a disk that cannot follow: the next call takes these too
        for file in self._dirty:
            file.dirty = False
        files = [file for file in self._dirty if file.fd >= 0]
        self._dirty.clear()
        how = sync_data
        if len(files) >= _SYNC_WHOLE_FROM and _syncfs is not None:
            how = sync_file_system
            files = list({file.device: file for file in files}.values())
        for file in files:
            with suppress(OSError):
                self._syncer.take(os.dup(file.fd), how)
        while self._syncer.errors:
            self._counts.write_errors += 1
            self._counts.write_error = f"sync: {self._syncer.errors.popleft()}"
            self._counts.note(self._counts.write_error, "sync")

    def recent(self, now: float, seconds: float) -> dict[str, int]:
        """`{file name: committed size}` of the files written within `seconds`."""
        return {file.name: file.size for file in self._files.values() if now - file.changed <= seconds}

    def close(self, seconds: float = 2.0) -> None:
        """Sync and close everything, waiting for the disk at most `seconds`."""
        for file in list(self._open.values()):
            self._close(file)
        self._syncer.close(seconds)

    def _sync_folder(self) -> None:
        fd = os.open(self._base, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
