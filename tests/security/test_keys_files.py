"""Keys on disk: who may read them, what is refused, and the command that makes them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import zmq.auth

from avaliacoes import key_folders
from avaliacoes.__main__ import main
from collector import settings as collector_settings
from contract import keys, places, service
from contract.endpoints import EndpointRefused
from producer import Producer
from producer.endpoints import check_endpoint


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def open_umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def test_folders_are_0700_and_files_0600_under_any_umask(tmp_path: Path, open_umask: object) -> None:
    """Nobody but their owner can read or list anything of the keys, whatever the umask was."""
    folder = tmp_path / "keys"
    assert key_folders.make_folder(folder)
    key_folders.add_client(folder, "gpu1", keys.WRITERS)
    key_folders.add_client(folder, "desk", keys.READERS, tmp_path / "for desk")
    for path, mode in {**modes(folder), **modes(tmp_path / "for desk")}.items():
        assert mode == (0o700 if Path(path).is_dir() else 0o600), path
    assert not list(folder.rglob("*.tmp"))


def test_the_tools_of_zeromq_read_the_files(tmp_path: Path) -> None:
    """A key file is the certificate that ZeroMQ's own loader expects."""
    key_folders.make_folder(tmp_path)
    public, secret = zmq.auth.load_certificate(tmp_path / "collector.key_secret")
    pair = keys.read_pair(tmp_path / "collector.key_secret")
    assert (public.decode(), secret.decode()) == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(tmp_path / "collector.key") == (public, None)
    assert pair.secret not in repr(pair)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A secret with any bit for group or others is not used, and the text says chmod."""
    key_folders.make_folder(tmp_path)
    for name in ("collector", "local"):
        path = tmp_path / f"{name}.key_secret"
        path.chmod(mode)
        with pytest.raises(keys.KeysRefused, match=f"chmod 600 {path}"):
            keys.read_pair(path)
    with pytest.raises(keys.KeysRefused, match="chmod 600"):
        keys.client_keys(tmp_path)


@pytest.mark.parametrize("where", ["", "writers", "readers"])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, where: str) -> None:
    """Where others could put a key, no key is believed, and the text says chmod."""
    folder = tmp_path / "keys"
    key_folders.make_folder(folder)
    (folder / where).chmod(0o770)
    with pytest.raises(keys.KeysRefused, match="chmod 700"):
        keys.check_folder(folder / where)


def test_the_collector_refuses_secrets_that_others_can_read(spawn, folder: Path, place: Path) -> None:
    """A collector whose secret is readable by others does not start (exit 4) and says chmod."""
    (folder / "collector.key_secret").chmod(0o644)
    process = spawn("-m", "collector", "--base-path", str(place), "--worker", stderr=-1, stdout=-1)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == service.EXIT_CANNOT_START
    assert b"chmod 600" in errors


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"curve\n",
        b'public-key = "short"\n',
        b"\xff\xfe" * 100,
        b'public-key = "' + b"~" * 40 + b'"\n',
        b"a" * 100_000,
    ],
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file without a key in it raises `KeysRefused`, in a folder of keys it is left out."""
    key_folders.make_folder(tmp_path)
    (tmp_path / "writers" / "broken.key").write_bytes(content)
    with pytest.raises(keys.KeysRefused, match="avaliacoes keys"):
        keys.read_public(tmp_path / "writers" / "broken.key")
    assert set(keys.read_role(tmp_path, keys.WRITERS).values()) == {"local"}


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a..b", "x\0", "é", "a" * 64, "local", "-rf"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A name that is no plain file name, or is ours, makes no file anywhere."""
    key_folders.make_folder(tmp_path / "keys")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(keys.KeysRefused):
        key_folders.add_client(tmp_path / "keys", name, keys.WRITERS)
    with pytest.raises(keys.KeysRefused):
        key_folders.remove_client(tmp_path / "keys", name if name != "a" * 64 else "local")
    assert sorted(tmp_path.rglob("*")) == before


def test_command_init_add_list_remove(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command lets a machine in, one shuts it out; both say what to do, and data alone is on standard output."""
    monkeypatch.delenv(keys.ENV_KEYS, raising=False)
    base = str(tmp_path / "data")
    assert main(["keys", "add", "gpu1", "--base-path", base]) == 0
    out, said = capsys.readouterr()
    client = Path(out.strip())
    assert sorted(path.name for path in client.iterdir()) == ["client.key", "client.key_secret", "collector.key"]
    assert f"export {keys.ENV_KEYS}=" in said and f"export {places.ENV_ENDPOINT}=tcp://" in said and "scp" in said
    assert main(["keys", "init", "--base-path", base]) == 0
    assert "nothing changed" in capsys.readouterr().err
    assert main(["keys", "add", "desk", "--reader", "--base-path", base]) == 0
    assert main(["keys", "add", "gpu1", "--reader", "--base-path", base]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--json", "--base-path", base]) == 0
    listed = json.loads(capsys.readouterr().out)["clients"]
    assert [(row["name"], row["writer"], row["reader"]) for row in listed] == [
        ("desk", False, True),
        ("gpu1", True, True),
        ("local", True, True),
    ]
    assert keys.read_pair(client / "client.key_secret").secret not in json.dumps(listed)
    assert main(["keys", "add", "gpu1", "--base-path", base]) == service.EXIT_FAILED
    assert "remove gpu1" in capsys.readouterr().err
    assert main(["keys", "remove", "gpu1", "--base-path", base]) == 0
    assert not client.exists()
    assert main(["keys", "remove", "gpu1", "--base-path", base]) == service.EXIT_FAILED
    assert main(["keys", "list", "--base-path", base]) == 0
    assert "gpu1" not in capsys.readouterr().out


def test_a_producer_refuses_a_wide_endpoint_without_keys(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint beyond this machine is refused at start-up by a text that says how to make keys; with keys it is taken."""
    monkeypatch.delenv(keys.ENV_KEYS, raising=False)
    for endpoint in ("tcp://192.0.2.7:5555", "tcp://gpu.example:5555", "tcp://[2001:db8::1]:5555"):
        with pytest.raises(EndpointRefused, match="avaliacoes keys add"):
            Producer(place, endpoint=endpoint)
    key_folders.make_folder(place.parent / "keys")
    client = key_folders.add_client(place.parent / "keys", "gpu1", keys.WRITERS)
    monkeypatch.setenv(keys.ENV_KEYS, str(client))
    assert check_endpoint("tcp://192.0.2.7:5555", place) == "tcp://192.0.2.7:5555"
    with pytest.raises(EndpointRefused):
        check_endpoint("tcp://*:5555", place)
    (client / "client.key_secret").chmod(0o644)
    with pytest.raises(keys.KeysRefused, match="chmod 600"):
        Producer(place, endpoint="tcp://192.0.2.7:5555")
    monkeypatch.setenv(keys.ENV_KEYS, str(place / "nowhere"))
    with pytest.raises(keys.KeysRefused, match="avaliacoes keys add"):
        Producer(place, endpoint="tcp://192.0.2.7:5555")


@pytest.mark.parametrize(
    "bind", ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.0.2.7:5555", "tcp://gpu.example:5555"]
)
def test_a_collector_refuses_a_wide_bind_without_keys(place: Path, folder: Path, bind: str) -> None:
    """A bind that other machines reach is refused without keys by a text that says how to make them, and taken with keys."""
    without = place.parent / "another"
    with pytest.raises(collector_settings.SettingsRefused, match="avaliacoes keys init"):
        collector_settings.make(without, bind=bind, environment={})
    client = key_folders.add_client(folder, "gpu1", keys.WRITERS)
    with pytest.raises(collector_settings.SettingsRefused, match="avaliacoes keys init"):
        collector_settings.make(without, bind=bind, environment={keys.ENV_KEYS: str(client)})
    assert collector_settings.make(place, bind=bind, environment={}).keys == folder
    assert collector_settings.make(without, bind=bind, environment={}, keys_folder=folder).keys == folder
    assert collector_settings.make(without, bind=bind, environment={keys.ENV_KEYS: str(folder)}).keys == folder


def test_without_keys_sockets_lie_in_a_folder_of_their_own(spawn, place: Path) -> None:
    """The default sockets can be reached by their owner alone: 0700 the folders on the way, 0700 the sockets at most."""
    from keyed import start

    running = start(spawn, place)
    for endpoint in (running.ingest, running.feed):
        path = Path(endpoint.removeprefix("ipc://"))
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
        for parent in (path.parent, path.parent.parent):
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(places.own_dir(place).stat().st_mode) == 0o700
