"""Overflow on disk: closed chunks of the ring, oldest first, in files of a few MiB, bounded as a whole."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from contract import blocks
from contract.places import spool_dir
from producer.stream import Chunk, Stream

SEGMENT_BYTES = 8 << 20
#: Chunks in one write: few system calls, since after each one the thread must win the interpreter back.
CHUNKS_AT_ONCE = 64


class _Segment:
    __slots__ = ("fd", "live", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        #: Chunks in this file that are not yet acknowledged.
        self.live: dict[int, tuple[Stream, Chunk]] = {}


class Spool:
    """The spool of one producer, written by its sender's thread only.

    Args:
        base: data folder; the files lie in its `.avaliacoes/spool`.
        producer: whose records they are.
        limit: bytes on disk at most; past it the oldest file is given up, and the caller is told what was in it.
    """

    def __init__(self, base: Path, producer: str, limit: int) -> None:
        self._base = base
        self._producer = producer
        self._limit = limit
        self._segments: deque[_Segment] = deque()
        self._number = 0
        self.records = 0
        self.bytes = 0

    def put(self, chunks: list[tuple[Stream, Chunk]]) -> None:
        """Write closed chunks with one system call and make them live on disk instead of in memory.

        Raises:
            OSError: they could not be written whole; nothing has changed.
        """
        segment = self._segment()
        pieces: list[bytes | memoryview] = []
        sizes = []
        for stream, chunk in chunks:
            head, payload = stream.seal(chunk)
            pieces += (head, payload)
            sizes.append(len(head) + len(payload))
        whole = sum(sizes)
        try:
            done = os.writev(segment.fd, pieces)
            if done < whole:
                rest = memoryview(b"".join(pieces))[done:]
                while rest:
                    rest = rest[os.write(segment.fd, rest) :]
        except OSError:
            os.ftruncate(segment.fd, segment.size)
            os.lseek(segment.fd, segment.size, os.SEEK_SET)
            raise
        for (stream, chunk), size in zip(chunks, sizes, strict=True):
            segment.size += size
            chunk.spool, chunk.spool_at = segment.path, segment.size - chunk.size
            segment.live[id(chunk)] = (stream, chunk)
            self.records += chunk.count
        self.bytes += whole

    def _segment(self) -> _Segment:
        """The file to append to."""
        if self._segments and self._segments[-1].size < SEGMENT_BYTES:
            return self._segments[-1]
        spool_dir(self._base).mkdir(mode=0o700, parents=True, exist_ok=True)
        segment = _Segment(blocks.spool_file(self._base, self._producer, self._number))
        self._number += 1
        if self._segments:
            os.close(self._segments[-1].fd)
            self._segments[-1].fd = -1
        self._segments.append(segment)
        return segment

    def done(self, chunk: Chunk) -> None:
        """A spooled chunk is safe with the collector; its file goes once all in it are."""
        for segment in self._segments:
            if segment.path == chunk.spool:
                if segment.live.pop(id(chunk), None):
                    self.records -= chunk.count
                if not segment.live and (segment is not self._segments[-1] or segment.size >= SEGMENT_BYTES // 2):
                    self._drop(segment)
                return

    def give_up_oldest(self) -> list[tuple[Stream, Chunk]]:
        """When over the limit: delete the oldest file and return the chunks that are lost with it, else nothing."""
        if self.bytes <= self._limit or len(self._segments) < 2:
            return []
        segment = self._segments[0]
        lost = list(segment.live.values())
        self.records -= sum(chunk.count for _, chunk in lost)
        self._drop(segment)
        return lost

    def _drop(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        self.bytes -= segment.size
        if segment.fd >= 0:
            os.close(segment.fd)
        segment.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Everything is acknowledged: delete what is left."""
        for segment in list(self._segments):
            self._drop(segment)
        self.records = 0

    def leave(self) -> None:
        """Close the files and leave them to whoever adopts them."""
        for segment in self._segments:
            if segment.fd >= 0:
                os.close(segment.fd)
                segment.fd = -1
