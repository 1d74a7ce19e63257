"""Memory that was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from collector import memory

HOLES = """
import time
from collector import memory
trimmer = memory.Trimmer()
trimmer.look(0.0)
kept = [bytes(1000) for _ in range(150_000)]
kept = kept[::50]  # holes between those that stay: nothing the C library gives back by itself
before = memory._resident()
trimmer.look(1.0)
after = memory._resident()
trimmer.look(2.0)
print(before - after, trimmer.trims, len(kept))
"""


@pytest.mark.skipif(memory._malloc_trim() is None, reason="the C library is not glibc")
def test_holes_in_the_heap_are_given_back_and_not_looked_for_again_at_once():
    found = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=60, check=True)
    given_back, trims, _ = map(int, found.stdout.split())
    assert given_back > 64 << 20
    assert trims == 1
