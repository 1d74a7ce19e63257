"""The flight recorder (a ring of blocks in shared memory) and the spool (blocks on disk): bytes and readers.

A producer writes them, whoever adopts a dead producer's records reads them. All integers are little-endian.

    ring file    page 0      magic 8 | n_blocks u64 | block_bytes u64 | pid u64 | created f64 | producer 32 | session 112
                             from byte 1024 on what producer and collector tell each other: `contract.live`
                 page 1      64 entries of 64 bytes: category name 48 | next sequence acknowledged u64 | unused 8
                 pages 2..   n_blocks heads of 64 bytes: state u64 | first_seq u64 | category u64 | unused
                 then        n_blocks blocks of block_bytes
      state      records << 32 | bytes: one aligned store publishes a record, so a death between two stores leaves
                 either the old or the new one; bytes beyond it never count
      category   index into page 1 plus one; 0 is a free block

    spool file   entries: magic 4 | meta bytes u32 | payload bytes u32 | crc32 of both u32 | meta | payload
      meta       msgpack [producer, session, category, first_seq, count]

The owner of a producer id holds an exclusive flock on its ring file for life. Ring and spool of a producer are orphans
once that lock is free, or once the ring file is gone while spool files remain.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgpack

from contract import names
from contract.live import PAGE, LiveWords
from contract.places import ring_dirs, spool_dir

RING_MAGIC: Final = b"AVRING1\n"
SPOOL_MAGIC: Final = b"AVS1"
BLOCK_BYTES: Final = 64 * 1024
HEAD_WORDS: Final = 8
CATEGORY_ENTRY: Final = struct.Struct("<48sQ8x")
FILE_HEAD: Final = struct.Struct("<8sQQQd32s112s")
SPOOL_HEAD: Final = struct.Struct("<4sIII")
RING_SUFFIX: Final = ".ring"
SPOOL_SUFFIX: Final = ".spool"


@dataclass(frozen=True, slots=True)
class Block:
    """`count` packed records of one producer and category from `first_seq` on, out of a ring or a spool."""

    producer: str
    session: str
    category: str
    first_seq: int
    count: int
    payload: bytes


def heads_offset() -> int:
    return 2 * PAGE


def blocks_offset(n_blocks: int) -> int:
    heads = n_blocks * HEAD_WORDS * 8
    return heads_offset() + -(-heads // PAGE) * PAGE


def ring_bytes(n_blocks: int) -> int:
    return blocks_offset(n_blocks) + n_blocks * BLOCK_BYTES


def pack_ring_head(n_blocks: int, pid: int, created: float, producer: str, session: str) -> bytes:
    return FILE_HEAD.pack(RING_MAGIC, n_blocks, BLOCK_BYTES, pid, created, producer.encode(), session.encode())


def pack_category(name: str, acked: int = 0) -> bytes:
    return CATEGORY_ENTRY.pack(name.encode(), acked)


def category_offset(index: int) -> int:
    return PAGE + index * CATEGORY_ENTRY.size


@dataclass(frozen=True, slots=True)
class RingContent:
    """What a ring file held when it was read."""

    producer: str
    session: str
    pid: int
    created: float
    acked: dict[str, int]
    blocks: list[Block]


def read_ring(fd: int) -> RingContent | None:
    """Read a ring file; None if it is not one, or was never finished. Damaged blocks are left out."""
    size = os.fstat(fd).st_size
    if size < 2 * PAGE:
        return None
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        magic, n_blocks, block_bytes, pid, created, raw_producer, raw_session = FILE_HEAD.unpack_from(view, 0)
        if magic != RING_MAGIC or block_bytes != BLOCK_BYTES or n_blocks > 1 << 20 or size < ring_bytes(n_blocks):
            return None
        try:
            producer = names.check_producer(raw_producer.rstrip(b"\0").decode("ascii", "replace"))
            session = names.check_session(raw_session.rstrip(b"\0").decode("ascii", "replace"))
        except names.NameRefused:
            return None
        categories: list[str] = []
        acked: dict[str, int] = {}
        live = LiveWords(memoryview(view[:PAGE]))
        for index in range(names.MAX_CATEGORIES_PER_PRODUCER):
            raw, next_seq = CATEGORY_ENTRY.unpack_from(view, category_offset(index))
            name = raw.rstrip(b"\0").decode("ascii", "replace")
            categories.append(name)
            if name:
                acked[name] = max(next_seq, live.stored(index + 1).next_seq)
        blocks = []
        first_block = blocks_offset(n_blocks)
        for index in range(n_blocks):
            state, first_seq, tag = struct.unpack_from("<QQQ", view, heads_offset() + index * HEAD_WORDS * 8)
            count, used = state >> 32, state & 0xFFFFFFFF
            if not (0 < tag <= len(categories)) or not count or used > BLOCK_BYTES or not categories[tag - 1]:
                continue
            start = first_block + index * BLOCK_BYTES
            blocks.append(
                Block(producer, session, categories[tag - 1], first_seq, count, bytes(view[start : start + used]))
            )
    return RingContent(producer, session, pid, created, acked, blocks)


def pack_spool_head(
    producer: str, session: str, category: str, first_seq: int, count: int, payload: bytes | memoryview
) -> bytes:
    """What stands before `payload` in a spool entry: apart, so that a payload is written without being copied."""
    meta: bytes = msgpack.packb((producer, session, category, first_seq, count))
    checksum = zlib.crc32(payload, zlib.crc32(meta))
    return SPOOL_HEAD.pack(SPOOL_MAGIC, len(meta), len(payload), checksum) + meta


def pack_spool_entry(block: Block) -> bytes:
    """A whole spool entry."""
    head = pack_spool_head(block.producer, block.session, block.category, block.first_seq, block.count, block.payload)
    return head + block.payload


def read_spool(path: Path) -> Iterator[Block]:
    """The blocks of a spool file, oldest first, up to the first torn or damaged entry."""
    with path.open("rb") as file:
        while True:
            head = file.read(SPOOL_HEAD.size)
            if len(head) < SPOOL_HEAD.size:
                return
            magic, meta_bytes, payload_bytes, checksum = SPOOL_HEAD.unpack(head)
            if magic != SPOOL_MAGIC or meta_bytes > 1024 or payload_bytes > BLOCK_BYTES:
                return
            meta, payload = file.read(meta_bytes), file.read(payload_bytes)
            if len(payload) < payload_bytes or zlib.crc32(payload, zlib.crc32(meta)) != checksum:
                return
            producer, session, category, first_seq, count = msgpack.unpackb(meta)
            yield Block(producer, session, category, first_seq, count, payload)


def ring_file(folder: Path, producer: str) -> Path:
    return folder / f"{producer}{RING_SUFFIX}"


def spool_file(base: Path, producer: str, number: int) -> Path:
    return spool_dir(base) / f"{producer}.{number:06d}{SPOOL_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A dead producer's ring (locked by whoever found it) and spool files, ready to be adopted.

    `blocks()` gives what it left behind in order per category; `remove()` deletes it once all is safe on disk.
    """

    producer: str
    ring: Path | None
    fd: int | None
    spools: tuple[Path, ...]
    content: RingContent | None

    def blocks(self) -> Iterator[Block]:
        """Spooled blocks, then the ring's, each sorted by sequence: per category oldest first (overlaps possible)."""
        for path in self.spools:
            yield from read_spool(path)
        if self.content is not None:
            yield from sorted(self.content.blocks, key=lambda block: (block.category, block.first_seq))

    def remove(self) -> None:
        for path in (*self.spools, *([self.ring] if self.ring else [])):
            path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Give the lock back without deleting anything."""
        if self.fd is not None:
            try:
                os.close(self.fd)
            except OSError:
                pass


def find_orphans(base: Path, skip: frozenset[str] | set[str] = frozenset()) -> Iterator[Orphan]:
    """Every dead producer of this data folder on this host, its ring locked for the caller.

    Args:
        base: the data folder.
        skip: producer ids that are alive in this very process.
    """
    # A producer makes its ring before its first spool file, and removes it after the last: who has spool files now and no ring
    # afterwards is gone. Which files it has is asked only then, for a living one makes more.
    with_spools = {path.name.split(".")[0] for path in spool_dir(base).glob(f"*{SPOOL_SUFFIX}")}
    alive = set(skip)
    for directory in ring_dirs(base):
        try:
            rings = sorted(directory.glob(f"*{RING_SUFFIX}"))
        except OSError:
            continue
        for path in rings:
            producer = path.name[: -len(RING_SUFFIX)]
            if producer in alive:
                continue
            alive.add(producer)
            fd = _lock(path)
            if fd is None:
                continue
            content = read_ring(fd)
            yield Orphan(producer, path, fd, _spools_of(base, producer), content)
    for producer in sorted(with_spools - alive):
        spools = _spools_of(base, producer)
        if spools:
            yield Orphan(producer, None, None, spools, None)


def _spools_of(base: Path, producer: str) -> tuple[Path, ...]:
    return tuple(sorted(spool_dir(base).glob(f"{producer}.*{SPOOL_SUFFIX}")))


def _lock(path: Path) -> int | None:
    """An open descriptor with the exclusive lock on `path`, or None while its owner lives or it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None
