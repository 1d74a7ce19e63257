"""Numbers, steps and times as people write them. Pure; the texts of the report and the page's notes come through here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from renderer.session import stamp

__all__ = ["approx", "count", "listed", "measured", "number", "rule_name", "share", "short", "span", "stamp", "step"]


def number(value: Any) -> str:
    """At most four digits; NaN and infinities by their names; a dash for what is not there."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return short(float(value))


def short(value: float) -> str:
    """A number for people: four digits, exponents only when needed, NaN and infinities by their names."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"


def approx(value: float, error: float) -> str:
    """A value to the digits that its standard error leaves, and never more than four where there is a choice.

    >>> approx(481.327, 4.3), approx(0.012345, 0.0004), approx(-1234.6, 120.0), approx(5.0, 0.0), approx(2.1e7, 4e6)
    ('481', '0.0123', '-1,230', '5', '2.1e+07')
    """
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0 or value == 0:
        return number(value)
    return _fixed(value, min(_place(error), 3 - math.floor(math.log10(abs(value)))))


def measured(value: float | None, error: float | None) -> str:
    """A mean and its standard error, which has two digits while they are below 3.55 (Particle Data Group), else one.

    >>> measured(481.327, 4.3), measured(-1.6e5, 17000.0), measured(22.94, 0.96), measured(2.61e-6, 1.2e-7)
    ('481 ± 4', '-160,000 ± 17,000', '22.9 ± 1.0', '2.61e-06 ± 1.2e-07')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if error is None or not math.isfinite(error) or error <= 0:
        return number(value)
    return f"{approx(value, error)} ± {_fixed(error, _place(error))}"


def _place(error: float) -> int:
    """Digits after the point (before it where negative) to round to."""
    size = math.floor(math.log10(error))
    lead = error / 10.0**size
    return 1 - size if lead < 3.55 else -size


def _fixed(value: float, place: int) -> str:
    """`value` rounded to `place` digits after the point, as plain digits where they stay readable."""
    size = math.floor(math.log10(abs(value))) if value else 0
    if -5 <= size < 6:
        return f"{round(value, place) + 0.0:,.{max(0, place)}f}"  # adding zero makes -0.0 a zero
    return f"{value:.{max(0, size + place)}e}"


def step(value: Any) -> str:
    """A step with its thousands apart."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "-"
    if abs(value) >= 1e16:
        return number(float(value))
    return f"{value:,.0f}" if value == int(value) else f"{value:,.10g}"


def count(n: int, what: str, many: str = "") -> str:
    """ "1 record", "2 records", "no records".

    >>> count(1, "record"), count(1200, "record"), count(0, "reply", "replies")
    ('1 record', '1,200 records', 'no replies')
    """
    plural = many or f"{what}s"
    return f"no {plural}" if n == 0 else f"1 {what}" if n == 1 else f"{n:,} {plural}"


def share(part: float) -> str:
    """A fraction as a per cent of two digits: 0.384 is "38 %"."""
    percent = 100 * part
    if not math.isfinite(percent):
        return "-"
    return f"{percent:.0f} %" if abs(percent) >= 9.5 or percent == int(percent) else f"{percent:.1f} %"


def span(seconds: float | None) -> str:
    """A duration: "3 h 12 min", "4 min 5 s", "2.5 s"."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = int(max(0.0, seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{max(0.0, seconds):.1f} s"


def rule_name(rule: str) -> str:
    """The name of a rule as words: `gradient_explosion` is "gradient explosion"."""
    return rule.replace("_", " ")


def listed(parts: Iterable[str], most: int = 4) -> str:
    """ "a, b and c"; what goes beyond `most` is counted."""
    found = list(parts)
    if len(found) > most:
        found = [*found[: most - 1], f"{len(found) - most + 1} more"]
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
