"""A collector that another network namespace reaches: an address that is not this machine's loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyed import denied, start, trainer_command
from raw_producer import read_lines, status

from avaliacoes import key_folders
from contract import keys

Until = Callable[..., bool]


@pytest.fixture
def other_network(tmp_path: Path) -> Any:
    """`(address of this side, prefix for commands over there)`: a namespace joined to us by a pair of virtual cables."""
    if os.geteuid() != 0:
        pytest.skip("another network namespace needs root")
    name = f"av{os.getpid() % 100_000}"
    near, far = f"{name}n", f"{name}f"
    address = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {near} type veth peer name {far} netns {name}",
        f"ip addr add {address}.1/30 dev {near}",
        f"ip link set {near} up",
        f"ip -n {name} addr add {address}.2/30 dev {far}",
        f"ip -n {name} link set {far} up",
        f"ip -n {name} link set lo up",
    ]
    try:
        try:
            for command in commands:
                subprocess.run(command.split(), check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no second network namespace here: {error} {getattr(error, 'stderr', b'')!r:.200}")
        yield f"{address}.1", ["ip", "netns", "exec", name]
    finally:
        for command in (f"ip link del {near}", f"ip netns del {name}"):
            try:
                subprocess.run(command.split(), check=False, capture_output=True, timeout=20)
            except OSError:
                pass


def test_from_another_network(
    spawn: Callable[..., subprocess.Popen[bytes]],
    folder: Path,
    place: Path,
    tmp_path: Path,
    other_network: tuple[str, list[str]],
    until: Until,
) -> None:
    """A training on another address stores everything with its key; without one, or with a stranger's, it stores nothing."""
    address, prefix = other_network
    running = start(spawn, place, "--bind", "tcp://0.0.0.0:*")
    endpoint = f"tcp://{address}:{running.ingest.rpartition(':')[2]}"
    client = key_folders.add_client(folder, "gpu1", keys.WRITERS)
    assert client is not None
    wrong = key_folders.add_client(folder, "gone", keys.WRITERS, tmp_path / "gone")
    assert wrong is not None
    key_folders.remove_client(folder, "gone")

    def over_there(base: Path, given: Path | None) -> tuple[str, str]:
        environment = {**os.environ, "AVALIACOES_ENDPOINT": endpoint}
        if given is not None:
            environment[keys.ENV_KEYS] = str(given)
        process = subprocess.run(
            [*prefix, *trainer_command(base, 3000)], env=environment, capture_output=True, text=True, timeout=90
        )
        return process.stdout, process.stderr

    out, _ = over_there(tmp_path / "far good", client)
    assert out.startswith("all stored"), out
    session = out.split()[-1]
    assert [line["step"] for line in read_lines(place, "training", session)] == list(range(3000))
    out, error = over_there(tmp_path / "far none", None)
    assert not out and "avaliacoes keys add" in error
    out, _ = over_there(tmp_path / "far wrong", wrong)
    assert out.startswith("not stored"), out
    assert until(lambda: denied(status(place), "ingest").get("unknown key", 0) >= 1)
    raw = (
        "import zmq,sys\ns=zmq.Context().socket(zmq.SUB)\ns.subscribe(b'')\n"
        f"s.connect('tcp://{address}:{running.feed.rpartition(':')[2]}')\nprint('heard' if s.poll(2000) else 'silence')\n"
        "s.close(0)"
    )
    heard = subprocess.run(
        [*prefix, trainer_command(place, 0)[0], "-c", raw], capture_output=True, text=True, timeout=60
    )
    assert heard.stdout.strip() == "silence", heard
    assert sorted(path.name for path in place.glob("training_*.jsonl")) == [f"training_{session}.jsonl"]
    assert running.process.poll() is None
