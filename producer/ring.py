"""The flight recorder's memory: a locked file of equal blocks in shared memory, handed out and taken back.

What is written here survives the process, and whoever adopts it reads it by the layout in `contract.blocks`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import time
from pathlib import Path

from contract import blocks
from contract.live import PAGE, LiveWords
from contract.names import MAX_CATEGORIES_PER_PRODUCER
from contract.places import PlaceRefused, make_ring_dir, ring_dirs

_LOG = logging.getLogger("avaliacoes")

#: A producer makes its file in milliseconds; one that is not finished after this long (seconds) never will be.
_UNFINISHED_S = 60.0
#: 16 MiB: some tenths of a second of a loop that does nothing but log.
SPARE_BLOCKS = 256
_REMOVE: int | None = getattr(mmap, "MADV_REMOVE", None)
#: Word of a block's head that holds its state, first sequence, category.
_STATE, _FIRST, _TAG = 0, 1, 2


class Ring:
    """`n_blocks` blocks of `blocks.BLOCK_BYTES`; `path` is None when no folder could hold the file.

    Behind them lie `SPARE_BLOCKS` more, for a loop that logs faster than full blocks can leave for the spool. They take
    memory only while they are in use, and survive the process like the others.

    Without a file the records live in this process's memory alone: everything works, but a killed process takes the
    unsent ones with it. That is said in the log and in the statistics (`protected`).
    """

    def __init__(self, base: Path, producer: str, session: str, n_blocks: int) -> None:
        self.n_blocks = n_blocks
        self.path: Path | None = None
        self._fd = -1
        self._all = n_blocks + SPARE_BLOCKS
        size = blocks.ring_bytes(self._all)
        self._map = self._open(base, producer, size) or mmap.mmap(-1, size)
        self.view = memoryview(self._map)
        #: What this process and a collector on this machine tell each other.
        self.live = LiveWords(self.view)
        heads = self.view[blocks.heads_offset() : blocks.heads_offset() + self._all * blocks.HEAD_WORDS * 8]
        self.heads = heads.cast("Q")
        self._acked = self.view[PAGE : 2 * PAGE].cast("Q")
        self._categories: list[str] = []
        #: A stack: the block used last is used next, so a healthy run touches few pages.
        self._free = list(range(n_blocks - 1, -1, -1))
        self._spare = list(range(self._all - 1, n_blocks - 1, -1))
        self.view[: blocks.FILE_HEAD.size] = blocks.pack_ring_head(
            self._all, os.getpid(), time.time(), producer, session
        )
        self._publish(producer)

    @property
    def protected(self) -> bool:
        """Whether the records survive the death of this process."""
        return self.path is not None

    def _open(self, base: Path, producer: str, size: int) -> mmap.mmap | None:
        """The mapping of a new, fully allocated and locked file, under a name that no adopter looks at yet."""
        reasons = []
        for folder in ring_dirs(base):
            try:
                _sweep(make_ring_dir(folder))
                path = folder / f".{producer}.new"
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except (OSError, PlaceRefused) as error:
                reasons.append(f"{folder}: {error}")
                continue
            try:
                _allocate(fd, 0, self.start_of(self.n_blocks))
                os.ftruncate(fd, size)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mapped = mmap.mmap(fd, size)
            except OSError as error:
                reasons.append(f"{folder}: {error}")
                os.close(fd)
                path.unlink(missing_ok=True)
                continue
            self._fd, self.path = fd, path
            return mapped
        _LOG.warning(
            "no folder can hold the flight recorder (%s): a killed process would lose its unsent records. "
            "Free some space there or set AVALIACOES_RUNTIME_DIR",
            "; ".join(reasons),
        )
        return None

    def _publish(self, producer: str) -> None:
        if self.path is not None:
            final = blocks.ring_file(self.path.parent, producer)
            self.path.rename(final)
            self.path = final

    def tag(self, category: str) -> int:
        """Register a category; its tag marks blocks. The caller keeps to `MAX_CATEGORIES_PER_PRODUCER`."""
        index = len(self._categories)
        if index >= MAX_CATEGORIES_PER_PRODUCER:
            raise ValueError(f"more than {MAX_CATEGORIES_PER_PRODUCER} categories")
        self._categories.append(category)
        at = blocks.category_offset(index)
        self.view[at : at + blocks.CATEGORY_ENTRY.size] = blocks.pack_category(category)
        return index + 1

    def note_acked(self, tag: int, next_seq: int) -> None:
        self._acked[(tag - 1) * 8 + 6] = next_seq

    def take(self, tag: int, first_seq: int) -> int | None:
        """Index of a free block, now marked with `tag`; None if there is none."""
        try:
            index = self._free.pop()
        except IndexError:
            spare = self._take_spare()
            if spare is None:
                return None
            index = spare
        head = index * blocks.HEAD_WORDS
        self.heads[head + _STATE] = 0
        self.heads[head + _FIRST] = first_seq
        self.heads[head + _TAG] = tag
        return index

    def _take_spare(self) -> int | None:
        try:
            index = self._spare.pop()
        except IndexError:
            return None
        if self._fd >= 0:
            try:
                _allocate(self._fd, self.start_of(index), blocks.BLOCK_BYTES)
            except OSError:  # no shared memory left
                self._spare.append(index)
                return None
        return index

    def put(self, tag: int, first_seq: int, count: int, payload: memoryview) -> int | None:
        """Index of a block that now holds `count` packed records; None if there is none free."""
        index = self.take(tag, first_seq)
        if index is not None:
            start = self.start_of(index)
            self.view[start : start + len(payload)] = payload
            self.heads[index * blocks.HEAD_WORDS + _STATE] = count << 32 | len(payload)
        return index

    def give(self, index: int) -> None:
        """Take a block back; its content is forgotten."""
        self.heads[index * blocks.HEAD_WORDS + _TAG] = 0
        if index < self.n_blocks:
            self._free.append(index)
            return
        if _REMOVE is not None:
            with contextlib.suppress(OSError, ValueError):
                self._map.madvise(_REMOVE, self.start_of(index), blocks.BLOCK_BYTES)
        self._spare.append(index)

    def start_of(self, index: int) -> int:
        return blocks.blocks_offset(self._all) + index * blocks.BLOCK_BYTES

    @property
    def used(self) -> int:
        """Blocks in use; with spare ones it is more than `n_blocks`."""
        return self._all - len(self._free) - len(self._spare)

    @property
    def spare_used(self) -> int:
        return SPARE_BLOCKS - len(self._spare)

    def leave(self) -> None:
        """Let go of the lock, keeping the file: what it holds is now an orphan for somebody to adopt."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Delete the file: everything in it is safe elsewhere."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self.leave()


def _sweep(folder: Path) -> None:
    """Remove what producers killed in the middle of their start left here: megabytes that nobody would look at."""
    for path in folder.glob(".*.new"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                path.unlink()


def _allocate(fd: int, start: int, size: int) -> None:
    """Reserve `size` bytes for real: a sparse file on a full disk would be SIGBUS at the first touch."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, size)
        return
    zeros = bytes(min(size, 1 << 20))
    done = 0
    while done < size:
        done += os.pwrite(fd, zeros[: size - done], start + done)
