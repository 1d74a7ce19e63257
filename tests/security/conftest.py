"""A data folder with keys, and the collector that asks for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "collector"))
from keyed import Follower, KeyedProducer, Running, start

from avaliacoes import key_folders
from contract import keys, places


@pytest.fixture
def folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The keys folder of `place`, made."""
    monkeypatch.delenv(keys.ENV_KEYS, raising=False)
    places.prepare_base(place)
    made = keys.folder_of(place)
    key_folders.make_folder(made)
    return made


@pytest.fixture
def collector(spawn: Callable[..., subprocess.Popen[bytes]], folder: Path, place: Path) -> Running:
    """A collector on loopback TCP that asks for the keys of `folder`."""
    return start(spawn, place, "--bind", "tcp://127.0.0.1:*")


@pytest.fixture
def connect() -> Iterator[Callable[..., KeyedProducer]]:
    """`connect(endpoint, keys, producer=...)`: a raw producer, closed at the end."""
    made: list[KeyedProducer] = []

    def one(endpoint: str, found: keys.ClientKeys | None, **options: str) -> KeyedProducer:
        made.append(KeyedProducer(endpoint, found, **options))
        return made[-1]

    yield one
    for client in made:
        client.close()


@pytest.fixture
def follow() -> Iterator[Callable[..., Follower]]:
    """`follow(endpoint, keys)`: a reader of the feed, closed at the end."""
    made: list[Follower] = []

    def one(endpoint: str, found: keys.ClientKeys | None) -> Follower:
        made.append(Follower(endpoint, found))
        return made[-1]

    yield one
    for client in made:
        client.close()
