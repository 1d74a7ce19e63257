"""What a dead producer leaves is found whole, however slowly one looks."""

from __future__ import annotations

from pathlib import Path

from contract import blocks
from contract.blocks import Block
from contract.places import make_ring_dir, prepare_base, ring_dirs


def spool(base: Path, producer: str, number: int, first_seq: int) -> None:
    block = Block(producer, "s", "training", first_seq, 1, b"\x93\x00\x00\x80")
    blocks.spool_file(base, producer, number).write_bytes(blocks.pack_spool_entry(block))


def ring(base: Path, producer: str) -> None:
    folder = make_ring_dir(ring_dirs(base)[0])
    head = blocks.pack_ring_head(1, 1, 1.0, producer, "s")
    blocks.ring_file(folder, producer).write_bytes(head.ljust(blocks.ring_bytes(1), b"\0"))


def test_spool_files_written_while_somebody_looks_are_found_with_their_ring(place: Path) -> None:
    """A search that began before a producer spooled and died hands over all of its spool files, not those it saw first."""
    prepare_base(place)
    first, second, third = "a" * 12, "b" * 12, "c" * 12
    for producer in (first, second):
        ring(place, producer)
        spool(place, producer, 0, 0)
    spool(place, third, 0, 0)
    search = blocks.find_orphans(place)
    found = next(search)
    found.remove()
    spool(place, second, 1, 1)
    spool(place, third, 1, 1)
    left = {orphan.producer: [block.first_seq for block in orphan.blocks()] for orphan in search}
    assert found.producer == first and left == {second: [0, 1], third: [0, 1]}
