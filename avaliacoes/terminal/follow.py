"""One data file, followed cheaply: a file of any size is looked at in samples, and what is new is read once.

What is decoded in one look is bounded, so a fast run costs no more than a slow one; lines that are passed over are still counted.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from avaliacoes.terminal.history import History
from contract.lines import LineRefused, Record, decode_line

#: Files up to this size are read whole when first seen; of larger ones so many samples of so many bytes, and the end.
WHOLE_BYTES: Final = 256 * 1024
_SAMPLES: Final = 96
_SAMPLE_BYTES: Final = 4 * 1024
_END_BYTES: Final = 48 * 1024
#: Counting lines of what was there before takes no longer than this many bytes a look.
_COUNT_BYTES: Final = 16 * 1024 * 1024
_MAX_METRICS: Final = 400
_NOT_METRICS: Final = frozenset({"_p", "_q", "timestamp", "step", "component"})
#: Norms are watched for their peaks, everything else for its course.
_PEAKS: Final = ("grad_norm", "gradient_norm")


@dataclass(slots=True)
class Metric:
    """The last value of one metric, the step it belongs to, its course."""

    last: float
    step: int | None
    history: History


@dataclass(slots=True)
class Followed:
    """The records of one file: how many, how fast, what their metrics are."""

    path: Path
    metrics: dict[str, Metric] = field(default_factory=dict)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=200))
    fresh: list[float] = field(default_factory=list)
    step: int | None = None
    lines: int = 0
    appended: int = 0
    broken: int = 0
    _position: int = 0
    _counted: int = 0
    _counted_to: int = 0
    _inode: int = 0

    def look(self, budget: int, now: float) -> None:
        """Read what was appended, decoding about `budget` bytes of it at most. A file that was replaced begins anew.

        Args:
            now: seconds, by any clock that does not jump.
        """
        self.fresh = []
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            info = os.fstat(fd)
            if info.st_ino != self._inode or info.st_size < self._position:
                self._begin_anew(info.st_ino)
                self._first(fd, info.st_size)
                self.marks.append((now, 0))
            else:
                before = self.lines
                self._read(fd, self._position, info.st_size, budget)
                self.appended += self.lines - before
                self.marks.append((now, self.appended))
            self._count_earlier(fd)
        finally:
            os.close(fd)

    @property
    def counted(self) -> bool:
        """Whether every line has been counted; until then `records` is an estimate."""
        return self._counted >= self._counted_to

    @property
    def records(self) -> int:
        """Lines of the file, the ones not yet counted estimated by their size."""
        covered = self._position - (self._counted_to - self._counted)
        return self.lines if covered <= 0 else self.lines * self._position // covered

    def _begin_anew(self, inode: int) -> None:
        self.metrics.clear()
        self.times.clear()
        self.marks.clear()
        self.step = None
        self.appended = self.lines = self.broken = self._position = self._counted = self._counted_to = 0
        self._inode = inode

    def _first(self, fd: int, size: int) -> None:
        if size <= WHOLE_BYTES:
            self._read(fd, 0, size, WHOLE_BYTES)
            return
        for number in range(_SAMPLES):
            at = number * (size - _END_BYTES) // _SAMPLES
            data = os.pread(fd, _SAMPLE_BYTES, at)
            begin = data.find(b"\n") + 1 if at else 0
            self._decode(data, at, begin, data.rfind(b"\n") + 1, latest=False)
        begin = size - _END_BYTES
        begin += os.pread(fd, _END_BYTES, begin).find(b"\n") + 1
        self._position = self._counted_to = begin
        self._read(fd, begin, size, _END_BYTES)

    def _read(self, fd: int, begin: int, size: int, budget: int) -> None:
        """Everything from `begin` on: counted, and the last `budget` bytes of it decoded."""
        while size - begin > budget:
            data = os.pread(fd, min(1 << 20, size - begin - budget // 2), begin)
            end = data.rfind(b"\n") + 1
            if not end:
                break
            self.lines += data.count(b"\n")
            begin += end
            self._position = begin
        data = os.pread(fd, size - begin, begin)
        end = data.rfind(b"\n") + 1
        self.lines += data.count(b"\n")
        self._decode(data, begin, 0, end, latest=True)
        self._position = begin + end

    def _count_earlier(self, fd: int) -> None:
        stop = min(self._counted_to, self._counted + _COUNT_BYTES)
        while self._counted < stop:
            data = os.pread(fd, min(1 << 20, stop - self._counted), self._counted)
            if not data:
                self._counted = self._counted_to
                return
            self.lines += data.count(b"\n")
            self._counted += len(data)

    def _decode(self, data: bytes, offset: int, begin: int, end: int, latest: bool) -> None:
        while begin < end:
            feed = data.find(b"\n", begin, end)
            if feed < 0:
                return
            if feed > begin:
                try:
                    self._take(decode_line(data[begin:feed]), offset + begin, latest)
                except LineRefused:
                    self.broken += latest
            begin = feed + 1

    def _take(self, record: Record, offset: int, latest: bool) -> None:
        step = record.get("step")
        step = step if isinstance(step, int) and not isinstance(step, bool) else None
        at = record.get("timestamp")
        if latest:
            if step is not None:
                self.step = step
            if isinstance(at, (int, float)) and abs(at) < 1e12:
                self.times.append(float(at))
                self.fresh.append(float(at))
        component = record.get("component")
        suffix = f"[{component[:60]}]" if isinstance(component, str) and component else ""
        for name, value in record.items():
            if name not in _NOT_METRICS:
                self._value(name + suffix, value, step, offset, 0)

    def _value(self, name: str, value: Any, step: int | None, offset: int, depth: int) -> None:
        kind = type(value)
        if kind is float or kind is int or kind is bool:
            metric = self.metrics.get(name)
            if metric is None:
                if len(self.metrics) >= _MAX_METRICS:
                    return
                metric = self.metrics[name] = Metric(0.0, None, History(name.startswith(_PEAKS)))
            metric.last, metric.step = float(value), step
            metric.history.add(offset, metric.last)
        elif kind is dict and depth < 3:
            for inner, deeper in value.items():
                self._value(f"{name}.{inner}", deeper, step, offset, depth + 1)

    def rate(self, now: float, unix: float, span: float = 10.0) -> float:
        """Records per second over the last `span` seconds: by counting them, and at first by the times they bear.

        Args:
            now: by the clock of `look`.
            unix: unix time.
        """
        earlier = [count for at, count in self.marks if now - at > span]
        if earlier:
            return (self.appended - earlier[-1]) / span
        if self.marks and now - self.marks[0][0] >= 2.0:
            return (self.appended - self.marks[0][1]) / (now - self.marks[0][0])
        recent = [at for at in self.times if unix - at <= span]
        if not recent:
            return 0.0
        reach = span if len(recent) < len(self.times) else max(unix - min(recent), 1e-3)
        return len(recent) / min(span, reach)
