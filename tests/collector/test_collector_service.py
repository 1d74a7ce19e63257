"""The collector as a process: starting, refusing, giving way, leaving; and hostile input that must not end it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_producer import T0, RawProducer, numbers, payload_of, read_lines, record, status, write_ring

from collector.settings import SettingsRefused, make
from contract import blocks, names, places, service, wire

S = "run_20250101_000000"


def attempt(base: Path, *options: str, worker: bool = True) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "collector", "--base-path", str(base), *options, *(["--worker"] if worker else [])]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_help_names_every_environment_variable() -> None:
    """--help says what each option does and which variable sets it."""
    done = subprocess.run([sys.executable, "-m", "collector", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    for word in (
        "AVALIACOES_DIR",
        "AVALIACOES_BIND",
        "AVALIACOES_FEED",
        "AVALIACOES_DURABILITY",
        "--idle-exit",
        "--auto",
    ):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("bind", "word"),
    [
        ("tcp://0.0.0.0:5555", "avaliacoes keys"),
        ("tcp://*:5555", "avaliacoes keys"),
        ("tcp://192.168.1.7:5555", "avaliacoes keys"),
        ("tcp://127.0.0.1", "expected tcp://host:port"),
        ("tcp://127.0.0.1:99999", "expected tcp://host:port"),
        ("inproc://x", "expected tcp://host:port"),
        ("ipc://relative", "absolute path"),
        ("ipc:///" + "x" * 200, "absolute path"),
    ],
)
def test_endpoints_that_are_refused(place: Path, bind: str, word: str) -> None:
    """An endpoint that is wrong, or open to other machines without keys, is refused with the reason."""
    with pytest.raises(SettingsRefused, match=word):
        make(place, bind=bind)


def test_endpoints_that_are_allowed(place: Path) -> None:
    """Loopback in every spelling is allowed, and the feed is beside it."""
    assert make(place, bind="tcp://127.0.0.1:5555").feed == "tcp://127.0.0.1:5556"
    assert make(place, bind="tcp://[::1]:5555").feed == "tcp://[::1]:5556"
    assert make(place, bind="tcp://localhost:5555").feed == "tcp://localhost:5556"
    assert make(place, environment={"AVALIACOES_BIND": "ipc:///tmp/x"}).feed == "ipc:///tmp/x.feed"


def test_wrong_settings_exit_2(place: Path) -> None:
    """Settings are checked before anything opens."""
    done = attempt(place, "--bind", "tcp://0.0.0.0:5555")
    assert done.returncode == service.EXIT_USAGE and "avaliacoes keys" in done.stderr
    assert not place.exists()


def test_a_port_in_use_exits_4(place: Path) -> None:
    """A port that somebody has is a clear error, and the supervisor does not try again for ever."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = attempt(place, "--bind", f"tcp://127.0.0.1:{port}", worker=False)
    assert done.returncode == service.EXIT_CANNOT_START
    assert str(port) in done.stderr and "another process uses it" in done.stderr


def test_a_folder_that_is_a_file_exits_4(place: Path) -> None:
    """A data folder that cannot be made is a clear error."""
    place.write_text("no folder")
    done = attempt(place)
    assert done.returncode == service.EXIT_CANNOT_START and str(place) in done.stderr


def test_a_second_instance_is_refused(collector, place: Path) -> None:
    """One collector per folder: the second says who is there and leaves, the first keeps its socket."""
    running = collector()
    done = attempt(place)
    assert done.returncode == service.EXIT_ALREADY_RUNNING
    assert str(running.process.pid) in done.stderr and "already runs" in done.stderr
    with RawProducer(running.ingest) as one:
        one.wait_up()


def test_an_automatic_one_gives_way(collector, raw, place: Path) -> None:
    """A collector that a person starts takes the place of one started on demand, and the producer goes on."""
    first = collector("--auto")
    one = raw(first.ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    second = collector()
    assert first.process.wait(10) == 0
    assert second.ingest == first.ingest
    one.deliver("training", 20, 10)
    assert numbers(place, "training", S) == list(range(20))


def test_sigterm_stores_what_is_queued_within_5_s(collector, raw, place: Path) -> None:
    """Asked to end in mid-stream, it writes, acknowledges, checkpoints and is gone in time, under its supervisor too."""
    running = collector(worker=False)
    one = raw(running.ingest)
    for first in range(0, 20_000, 100):
        one.numbered("training", first, 100)
    begin = time.monotonic()
    assert running.terminate() == 0
    assert time.monotonic() - begin < 5.0
    stored = numbers(place, "training", S)
    assert stored == list(range(len(stored)))
    one.poll(0.5)
    assert one.acked.get("training", 0) <= len(stored)
    assert not service.is_running(place, "collector") and service.find(place, "collector") is None
    assert status(place)["running"] is False


def test_the_supervisor_starts_a_killed_worker_again(collector, raw, place: Path, until) -> None:
    """kill -9 of the worker costs a moment, no record."""
    running = collector(worker=False)
    one = raw(running.ingest)
    one.deliver("training", 500)
    info = service.find(place, "collector")
    assert info is not None
    os.kill(info["pid"], signal.SIGKILL)
    one.deliver("training", 1_000)
    assert numbers(place, "training", S) == list(range(1_000))


def test_idle_exit(collector, raw, place: Path) -> None:
    """With --idle-exit it leaves after the last producer said goodbye, all being stored."""
    running = collector("--auto", "--idle-exit", "0.5")
    one = raw(running.ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    assert running.process.poll() is None
    one.send("lifecycle", 0, [[T0, 0, {"event": "start"}], [T0, 0, {"event": "end", "status": "finished"}]])
    one.wait_acked("lifecycle", 2)
    assert running.process.wait(15) == 0
    assert not service.is_running(place, "collector")


def test_what_a_dead_producer_left_is_adopted(collector, raw, place: Path, until) -> None:
    """Ring and spool of a dead producer are stored once, in order, told in the lifecycle, and then removed."""
    producer = names.new_producer()
    running = collector()
    one = raw(running.ingest, S, producer)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    parts = [(first, [record(seq) for seq in range(first, first + 10)]) for first in (5, 15, 25, 35)]
    spool = blocks.spool_file(place, producer, 1)
    entries = [blocks.Block(producer, S, "training", f, 10, payload_of(r)) for f, r in parts[:2]]
    spool.write_bytes(b"".join(blocks.pack_spool_entry(entry) for entry in entries) + b"torn")
    ring = write_ring(place, producer, S, [("training", f, r) for f, r in reversed(parts[2:])])
    assert until(lambda: not ring.exists() and not spool.exists())
    assert numbers(place, "training", S) == list(range(45))
    adopted = [line for line in read_lines(place, "lifecycle", S) if line["event"] == "adopted"]
    assert [(line["producer"], line["pid"], line["records"]) for line in adopted] == [(producer, 999_999, 35)]
    assert status(place) == {} or until(lambda: status(place)["totals"]["adopted"] == 35)


def test_orphans_of_nobody_known_and_damaged_ones(collector, place: Path, until) -> None:
    """A dead trainer nobody heard of makes its session; a hole in what it left is a counted loss; rubbish is set aside."""
    places.prepare_base(place)
    producer = names.new_producer()
    ring = write_ring(place, producer, S, [("training", 0, [record(0)]), ("training", 7, [record(7), record(8)])])
    rubbish = ring.with_name("0123456789ab.ring")
    rubbish.write_bytes(b"rubbish!" * 2048)
    os.utime(rubbish, (T0, T0))
    collector()
    assert until(lambda: not ring.exists() and not rubbish.exists())
    assert numbers(place, "training", S) == [0, 7, 8]
    assert rubbish.with_suffix(".damaged").exists()
    assert until(lambda: status(place).get("totals", {}).get("skipped") == 6)


def test_hostile_frames_do_no_harm(collector, raw, place: Path, until) -> None:
    """Mutated and random messages are refused by reason; lines stay valid, paths stay inside, the honest are served."""
    running = collector()
    honest = raw(running.ingest)
    hostile = raw(running.ingest)
    good = [
        wire.topic_of("fuzz", "training"),
        wire.pack_header(hostile.producer, "training", 0, 3, 0),
        payload_of([record(n) for n in range(3)]),
    ]

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        parts = list(good)
        which = data.draw(st.integers(0, 5))
        if which < 3:
            part = bytearray(parts[which])
            for _ in range(data.draw(st.integers(1, 4))):
                part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
            parts[which] = bytes(part)
        elif which == 3:
            parts = [
                b"tm1/" + data.draw(st.binary(max_size=300)),
                *data.draw(st.lists(st.binary(max_size=80), max_size=4)),
            ]
        elif which == 4:
            text = data.draw(st.sampled_from(["../../x", "a/../b", "/etc", ".", "a\0b", "x" * 500, "é"]))
            parts[0] = f"tm1/{text}/training".encode()
        else:
            anything = st.recursive(
                st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=20,
            )
            parts[2] = msgpack.packb(data.draw(anything))
        if parts[0][:1] not in (b"\x00", b"\x01"):
            hostile.send_raw(parts)

    attack()
    for topic in (b"tm1/a/training", b"tm1/fuzz/training"):
        hostile.send_raw([topic, good[1], b"\x80" * 65_536])
        hostile.send_raw([topic, good[1], b"\x91" * 60_000])
        hostile.send_raw([topic, good[1], b"x" * 70_000])
    honest.deliver("training", 500)
    assert numbers(place, "training", S) == list(range(500))
    assert running.process.poll() is None
    assert until(lambda: sum(status(place).get("totals", {}).get("rejected", {}).values()) > 50)
    for path in place.glob("*.jsonl"):
        category, session = names.split_file_name(path.name) or ("", "")
        read_lines(place, category, session)
    assert sorted(path.name for path in place.parent.iterdir()) == ["data"]


def test_stale_sockets_are_replaced_but_files_are_not(collector, place: Path) -> None:
    """A socket left by a killed collector is no obstacle; a file that is no socket is not touched."""
    running = collector()
    running.kill()
    path = Path(running.ingest.removeprefix("ipc://"))
    assert path.is_socket() and path.stat().st_mode & 0o077 == 0
    again = collector()
    again.terminate()
    path.write_text("mine")
    done = attempt(place)
    assert done.returncode == service.EXIT_CANNOT_START and path.read_text() == "mine"


def test_tcp_on_loopback(collector, raw, place: Path) -> None:
    """A port chosen by the system is announced, and works."""
    running = collector("--bind", "tcp://127.0.0.1:*")
    info = service.find(place, "collector")
    assert info is not None and info["ingest"] == running.ingest and info["feed"] == running.feed
    raw(running.ingest).deliver("training", 100)
    assert numbers(place, "training", S) == list(range(100))


def test_power_durability_acknowledges(collector, raw, place: Path) -> None:
    """With --durability power the stream works the same."""
    raw(collector("--durability", "power").ingest).deliver("training", 300)
    assert numbers(place, "training", S) == list(range(300))


def test_a_lost_lock_ends_the_collector(collector, place: Path) -> None:
    """When somebody deletes its folder the collector ends instead of sharing the data with a second one."""
    running = collector()
    service.lock_file(place, "collector").unlink()
    assert running.process.wait(15) == service.EXIT_FAILED
    assert zmq is not None and any("lock" in line for line in running.errors)


def test_refused_messages_are_counted_with_the_session_that_they_name(collector, raw, place: Path, until) -> None:
    """`avaliacoes status` shows each session's refused messages by reason; a session that does not exist gets no row."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 5)
    one.wait_acked("training", 5)
    header = wire.pack_header(one.producer, "training", 5, 1, 0)
    one.send_raw([wire.topic_of(S, "training"), header, b"x" * 70_000])
    one.send_raw([wire.topic_of(S, "training"), header])
    one.send_raw([wire.topic_of(S, "training"), header])
    one.send_raw([wire.topic_of("nobody", "training"), header])
    wanted = {"oversize": 1, "parts": 2}
    assert until(lambda: status(place).get("sessions", {}).get(S, {}).get("rejected") == wanted)
    command = [sys.executable, "-m", "avaliacoes", "status", "--base-path", str(place)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    (row,) = json.loads(done.stdout)["sessions"]
    assert (row["session"], row["rejected"]) == (S, wanted)
    plain = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    head, line = (text.split("\t") for text in plain.stdout.splitlines())
    assert dict(zip(head, line, strict=True))["rejected"] == "3"
    assert f"{S}: 2 rejected (parts)" in plain.stderr
