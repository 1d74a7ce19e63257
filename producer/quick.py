"""The compiled log call (`_quick.c`), where it was built; elsewhere every call goes through Python, four times as long and otherwise alike."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer._quick import Call

#: What `_quick.c` and `producer.stream` agree on; a library that an older source left behind says another number.
AGREEMENT = 1
ENV_PURE = "AVALIACOES_PURE"


def compiled() -> type[Call] | None:
    """The compiled call; None where it is switched off (`AVALIACOES_PURE=1`), was not built, or cannot be trusted."""
    if os.environ.get(ENV_PURE, "") not in ("", "0"):
        return None
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None  # it relies on the interpreter's lock, and importing it would bring that lock back
    try:
        from producer import _quick
    except ImportError:
        return None
    return _quick.Call if _quick.AGREEMENT == AGREEMENT else None
