"""The C compiler with which this Python's extensions are built."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def compiler() -> str | None:
    """Its path; None where there is none."""
    words = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "").split()
    return shutil.which(words[0]) if words else None


def can_compile() -> bool:
    """Whether extensions can be built: a compiler, and the headers of Python."""
    return compiler() is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()
