"""Starting where one cannot: folders of others, endpoints where nobody answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avaliacoes.real_time_logger import LogReader, create_real_time_logger
from contract import blocks


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_of_somebody_else_is_refused_with_what_to_do() -> None:
    """A user who may not write the data folder is told so, and what to do, when the logger is made."""
    folder = Path(tempfile.mkdtemp(prefix="av-"))
    folder.chmod(0o755)
    code = (
        "import os, sys\n"
        "from contract.places import PlaceRefused\n"
        "from producer import Producer\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: Producer(sys.argv[1])\n"
        "except PlaceRefused as error: print(error); sys.exit(7)\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 7, done.stderr
    assert str(folder) in done.stdout and "AVALIACOES_DIR" in done.stdout


def test_an_endpoint_where_nobody_answers_loses_nothing(place: Path, until: Callable[..., bool]) -> None:
    """A collector that is not there: logging goes on, closing gives up in time, the spool keeps every record."""
    logger = create_real_time_logger(place, endpoint="tcp://127.0.0.1:9")
    for step in range(1000):
        logger.log_training_step(step, loss=0.5)
    stats = logger.get_real_time_stats()
    assert stats["connected"] is False and stats["waiting"] == 1000 and stats["dropped"] == 0
    begin = time.monotonic()
    assert logger.close(1.0) is False and time.monotonic() - begin < 10
    left = [block for orphan in blocks.find_orphans(place) for block in orphan.blocks()]
    assert sum(block.count for block in left if block.category == "training") == 1000
    # A logger without that endpoint starts a collector, which takes over what was left.
    with create_real_time_logger(place) as heir:
        heir.log_training_step(0, loss=0.5)
    first = LogReader(place, logger.session)
    assert until(lambda: len(first.tail("training", 2000)) == 1000, 30)
    assert [r["step"] for r in first.read_stream("training")] == list(range(1000))
