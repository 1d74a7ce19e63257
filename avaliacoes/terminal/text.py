"""Text from outside as text that can do nothing to a terminal, of a width that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from avaliacoes.terminal.plain import plain

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = "_.-~=+*#"


def fit(text: str, width: int, right: bool = False, dots: str = "…") -> str:
    """Harmless text in exactly `width` cells: cut with `dots` if longer, padded if shorter."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - len(dots)) + dots if width > len(dots) else set_cell_size(text, width)
    pad = " " * (width - length)
    return pad + text if right else text + pad


def wrap(text: str, width: int) -> list[str]:
    """Harmless text in lines of at most `width` cells, cut between words where that can be."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while cell_len(word) > width:
            head = set_cell_size(word, width).rstrip()
            lines += [line] if line else []
            line = ""
            lines.append(head)
            word = word[max(1, len(head)) :]
        if line and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line or not lines else lines


def number(value: Any) -> str:
    """A figure in at most eight characters; a dash where there is none.

    >>> number(0.25), number(1234567.0), number(None), number(float("nan")), number(3e-9), number(12)
    ('0.25', '1.235e6', '-', 'NaN', '3e-9', '12')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    try:
        value = float(value)
    except OverflowError:
        return "huge"
    if not math.isfinite(value):
        return "NaN" if value != value else "Inf" if value > 0 else "-Inf"
    text = f"{value:.4g}"
    if "e" in text:
        mantissa, _, power = text.partition("e")
        text = f"{mantissa}e{int(power)}"
    return text


def count(value: float) -> str:
    """A count or rate in at most six characters.

    >>> count(999), count(12345), count(2_500_000), count(0.25)
    ('999', '12.3k', '2.5M', '0.2')
    """
    if value < 10 and value != int(value):
        return f"{value:.1f}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def age(seconds: float | None) -> str:
    """How long ago, short: "0.4 s", "42 s", "3 min", "5 h", "2 d"."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs beyond letters, for terminals that have them and for those that do not."""

    blocks: str
    dots: str
    mark: str
    on: str
    off: str
    bad: str
    error: str
    warning: str
    info: str
    rule: str
    ascii_only: bool

    def safe(self, text: object, most: int = 1000) -> str:
        """`plain`, and where only ASCII can be shown everything else as escapes."""
        found = plain(text, most)
        return found.encode("ascii", "backslashreplace").decode() if self.ascii_only else found


UNICODE: Final = Glyphs(_BLOCKS, "…", ">", "●", "○", "!", "✖", "▲", "•", "─", False)
ASCII: Final = Glyphs(_ASCII_BLOCKS, "~", ">", "+", "-", "!", "E", "W", "i", "-", True)


def glyphs(encoding: str | None, environment: Mapping[str, str]) -> Glyphs:
    """Which signs a terminal can show.

    Args:
        encoding: of standard output. Python calls it UTF-8 also under the locale C, so the locale is looked at, too.
    """
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    plain_locale = locale.split(".")[0] in ("C", "POSIX", "") and "utf" not in locale.lower()
    told = bool(environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8"))
    if environment.get("TERM") in ("linux", "dumb", "vt100", "vt220") or (plain_locale and not told):
        return ASCII
    try:
        (_BLOCKS + "…●○✖▲•─").encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def spark(columns: list[float | None], signs: Glyphs) -> str:
    """A line of blocks, lowest to highest; NaN and infinities are marked, None is a blank."""
    finite = [value for value in columns if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    last = len(signs.blocks) - 1
    half = high / 2 - low / 2
    # Means of equal values differ in their last digits: that is no course.
    varies = half > 1e-9 * max(abs(high), abs(low)) / 2
    out = []
    for value in columns:
        if value is None:
            out.append(" ")
        elif not math.isfinite(value):
            out.append(signs.bad)
        else:
            share = (value / 2 - low / 2) / half if varies else 0.5
            out.append(signs.blocks[min(last, int(share * (last + 1)))])
    return "".join(out)
