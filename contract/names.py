"""Names and limits: what a session, a category and a producer may be called, and how big things may get.

Everything that arrives from outside is checked against this file before it touches a path or a buffer.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

#: The five categories users know, then the two the system writes about itself.
USER_CATEGORIES: Final = ("training", "gradients", "convergence", "rewards", "performance")
ALERTS: Final = "alerts"
LIFECYCLE: Final = "lifecycle"
CATEGORIES: Final = (*USER_CATEGORIES, ALERTS, LIFECYCLE)

MAX_SESSION_CHARS: Final = 100
MAX_CATEGORY_CHARS: Final = 40
MAX_CATEGORIES_PER_PRODUCER: Final = 64
#: Packed size of one record. A record is a handful of metrics, not a tensor.
MAX_RECORD_BYTES: Final = 60_000
MAX_METRICS_PER_RECORD: Final = 1_000
MAX_METRIC_NAME_CHARS: Final = 200
MAX_NESTING: Final = 20
#: Characters of `repr` kept for a value that JSON cannot hold.
MAX_REPR_CHARS: Final = 200
MAX_SESSIONS_OPEN: Final = 4_096

_SESSION = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_SESSION_CHARS - 1}}}\Z")
_CATEGORY = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_CATEGORY_CHARS - 1}}}\Z")
_PRODUCER = re.compile(r"[0-9a-f]{12}(-[0-9a-f]{4,8})?\Z")
_FILE = re.compile(r"([a-z][a-z0-9_]*?)_([A-Za-z0-9][A-Za-z0-9_.-]*)\.jsonl\Z")


class NameRefused(ValueError):
    """A session, category or producer name that this system does not accept."""


def check_session(name: str) -> str:
    """Return `name` if it can be a session, else raise `NameRefused` saying what is allowed."""
    if not isinstance(name, str) or not _SESSION.match(name) or ".." in name:
        raise NameRefused(
            f"session name {name!r:.120} refused: expected 1 to {MAX_SESSION_CHARS} of the characters "
            "A-Z a-z 0-9 _ . - beginning with a letter or digit, without '..'"
        )
    return name


def check_category(name: str) -> str:
    """Return `name` if it can be a category, else raise `NameRefused` saying what is allowed."""
    if not isinstance(name, str) or not _CATEGORY.match(name):
        raise NameRefused(
            f"category {name!r:.120} refused: expected [a-z][a-z0-9_]*, at most {MAX_CATEGORY_CHARS} characters"
        )
    return name


def check_producer(name: str) -> str:
    """Return `name` if it can be a producer id, else raise `NameRefused`."""
    if not isinstance(name, str) or not _PRODUCER.match(name):
        raise NameRefused(f"producer id {name!r:.60} refused: expected 12 hexadecimal digits, '-' and 4 to 8 more")
    return name


def new_producer(root: str | None = None) -> str:
    """A fresh producer id: 12 random hex digits, or `root` and a suffix for a child of that producer."""
    return secrets.token_hex(6) if root is None else f"{root_of(root)}-{secrets.token_hex(4)}"


def root_of(producer: str) -> str:
    """The part of a producer id that parent and forked children share."""
    return producer[:12]


def session_name(prefix: str | None = None, now: float | None = None) -> str:
    """`YYYYMMDD_HHMMSS` in local time, or `<prefix>_YYYYMMDD_HHMMSS`."""
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    return check_session(f"{prefix}_{stamp}" if prefix else stamp)


def file_name(category: str, session: str) -> str:
    """The file that holds one category of one session."""
    return f"{category}_{session}.jsonl"


def split_file_name(name: str) -> tuple[str, str] | None:
    """`(category, session)` of a data file's name, or None if it is not one.

    A category may contain `_`, so the known ones are tried first; a custom category is cut at its first `_`
    unless the collector's own index (`places.checkpoint_file`) says otherwise.
    """
    if not name.endswith(".jsonl"):
        return None
    for category in CATEGORIES:
        if name.startswith(category + "_"):
            session = name[len(category) + 1 : -len(".jsonl")]
            return (category, session) if _SESSION.match(session) else None
    found = _FILE.match(name)
    return (found[1], found[2]) if found else None
