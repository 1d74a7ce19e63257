"""What a producer does once, before it takes a record: check arguments, prepare the folder, take a session's name."""

from __future__ import annotations

import errno
import logging
import os
import platform
import socket
import sys
from pathlib import Path
from typing import Any

from contract import __version__, names, places

_LOG = logging.getLogger("avaliacoes")


def checked(name: str, value: Any, kind: Any, low: float, high: float) -> Any:
    """`value` if it is of `kind` and within bounds, else TypeError or ValueError that says what was expected."""
    if isinstance(value, bool) or not isinstance(value, kind):
        wanted = "an integer" if kind is int else "a number"
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__} {value!r:.60}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {value!r}")
    return value


def prepare(base: Path) -> None:
    """Make the data folder; a full disk is no reason not to begin.

    Raises:
        places.PlaceRefused: the folder cannot be used, with what to do.
    """
    try:
        places.prepare_base(base)
    except places.PlaceRefused:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise places.PlaceRefused(error.errno, f"cannot use the data folder {base}: {error.strerror}") from error
        _LOG.warning("the disk of %s is full: records wait in memory until there is room", base)


def claim(base: Path, wanted: str) -> str:
    """The first of `wanted`, `wanted_2`, ... that nobody has, now taken."""
    number = 1
    while True:
        session = wanted if number == 1 else f"{wanted}_{number}"
        number += 1
        if any((base / names.file_name(category, session)).exists() for category in names.CATEGORIES):
            continue
        try:
            os.close(os.open(places.claim_file(base, session), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            continue
        except OSError as error:  # a full disk: the process id keeps two such sessions apart
            _LOG.warning("cannot note the session %s: %s", session, error)
            return f"{wanted}_p{os.getpid()}"
        return session


def about() -> dict[str, Any]:
    """Where and by what this producer runs: the first record of a session tells."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "version": __version__,
        "argv0": (sys.argv[0] if sys.argv else "")[:200],
    }
