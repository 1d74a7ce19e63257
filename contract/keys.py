"""The keys that let processes on other machines in: where they lie, who may read them, how they are read.

    <keys>/                      0700, beside the collector (default: .avaliacoes/keys in the data folder)
        collector.key            public key of this collector
        collector.key_secret     0600
        local.key_secret, .key   the key of services and trainers on this machine, made with the folder
        writers/<name>.key       public keys that may send records
        readers/<name>.key       public keys that may follow the feed
        clients/<name>/          client folders made here, to be copied to the machine they are for

    <client folder>/             0700, on the machine of a trainer; `AVALIACOES_KEYS` names it
        client.key_secret        0600
        client.key               its public half
        collector.key            public key of the collector, so that nobody can stand in for it

A file is a certificate as ZeroMQ's own tools write it (`public-key = "..."`, in a secret file `secret-key = "..."` too),
keys are CURVE25519 in Z85, 40 characters. They are not made with `zmq.auth.create_certificates`, which leaves the secret
readable by everybody under the usual umask.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.places import own_dir

ENV_KEYS: Final = "AVALIACOES_KEYS"
COLLECTOR: Final = "collector"
CLIENT: Final = "client"
#: Name of the key that services and trainers on the collector's own machine use.
LOCAL: Final = "local"
WRITERS: Final = "writers"
READERS: Final = "readers"
CLIENTS: Final = "clients"
ROLES: Final = (WRITERS, READERS)
#: ZAP domains: what a key may do is decided apart for each socket.
INGEST_DOMAIN: Final = "ingest"
FEED_DOMAIN: Final = "feed"
#: Under a field of this name the collector's announcement carries its public key when it asks for keys.
ANNOUNCED: Final = "curve"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_LINE = re.compile(rb'^\s*(public-key|secret-key)\s*=\s*"([^"\s]{40})"\s*$', re.MULTILINE)
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")
#: A key file has a few lines; what is longer is something else.
_MAX_FILE_BYTES: Final = 8_192


class KeysRefused(OSError):
    """Keys that are missing, damaged, or readable by others; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key pair in Z85. `repr` leaves the secret half out, so that it never gets into a log."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"Pair(public={self.public!r})"


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a client puts on its socket: its own pair, and the key of the collector it means to reach."""

    own: Pair
    server: str


def folder_of(base: Path) -> Path:
    """Where a data folder's collector keeps its keys when nobody says otherwise."""
    return own_dir(base) / "keys"


def given_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that `AVALIACOES_KEYS` names, or None."""
    given = environment.get(ENV_KEYS)
    return Path(given).expanduser().absolute() if given else None


def check_name(name: str) -> str:
    """Return `name` if a key may be called so.

    Raises:
        KeysRefused: it may not; the text says what is allowed.
    """
    if not isinstance(name, str) or not _NAME.match(name) or ".." in name:
        raise KeysRefused(
            f"key name {name!r:.100} refused: expected 1 to 63 of the characters A-Z a-z 0-9 _ . - beginning with a "
            "letter or digit, without '..'"
        )
    return name


# Reading


def is_collector_folder(folder: Path) -> bool:
    return (folder / f"{COLLECTOR}.key_secret").exists()


def is_client_folder(folder: Path) -> bool:
    return (folder / f"{CLIENT}.key_secret").exists()


def read_public(path: Path) -> str:
    """The public key in a file.

    Raises:
        KeysRefused: no such file, or no key in it.
    """
    return _read(path, secret=False)["public-key"]


def read_pair(path: Path) -> Pair:
    """The key pair in a secret file.

    Raises:
        KeysRefused: no such file, no key in it, or somebody else may read or has made it.
    """
    found = _read(path, secret=True)
    return Pair(found["public-key"], found["secret-key"])


def _read(path: Path, secret: bool) -> dict[str, str]:
    wanted = ("public-key", "secret-key") if secret else ("public-key",)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            info = os.fstat(fd)
            if secret:
                _check_private(path, info)
            data = os.read(fd, _MAX_FILE_BYTES) if stat.S_ISREG(info.st_mode) else b""
        finally:
            os.close(fd)
    except KeysRefused:
        raise
    except OSError as error:
        raise KeysRefused(f"cannot read the key {path}: {error.strerror}. Make keys with `avaliacoes keys`") from error
    found = {name.decode(): value.decode("ascii", "replace") for name, value in _LINE.findall(data)}
    if any(not _Z85.match(found.get(name, "")) for name in wanted):
        raise KeysRefused(f"no key in {path}: expected {' and '.join(wanted)}. Make keys anew with `avaliacoes keys`")
    return found


def _check_private(path: Path, info: os.stat_result) -> None:
    if info.st_mode & 0o077:
        raise KeysRefused(
            f"the secret key {path} can be read by others (mode {stat.S_IMODE(info.st_mode):04o}), so it is refused: "
            f"chmod 600 {path}, and make a new one if somebody may have seen it"
        )
    if info.st_uid != os.geteuid():
        raise KeysRefused(f"the secret key {path} belongs to somebody else (uid {info.st_uid}): chown it to this user")


def check_folder(folder: Path) -> None:
    """Refuse a keys folder that others could put keys into.

    Raises:
        KeysRefused: missing, or writable by others.
    """
    try:
        info = folder.stat()
    except OSError as error:
        raise KeysRefused(
            f"no keys in {folder}: {error.strerror}. Make them with `avaliacoes keys init --keys {folder}`"
        ) from error
    if info.st_mode & 0o022 or info.st_uid != os.geteuid():
        raise KeysRefused(
            f"the keys folder {folder} can be written by others (mode {stat.S_IMODE(info.st_mode):04o}, uid "
            f"{info.st_uid}), so it is refused: chmod 700 {folder}"
        )


def read_role(folder: Path, role: str) -> dict[str, str]:
    """`{public key: name}` of those who may write or read; files that hold no key are left out.

    Raises:
        KeysRefused: the folder cannot be trusted.
    """
    check_folder(folder / role)
    found: dict[str, str] = {}
    for path in sorted((folder / role).glob("*.key")):
        try:
            found[read_public(path)] = check_name(path.stem)
        except KeysRefused:
            continue
    return found


def client_keys(folder: Path) -> ClientKeys:
    """The keys of a client folder, or the local ones of a collector's keys folder.

    Raises:
        KeysRefused: there are none, or they cannot be used safely.
    """
    if is_client_folder(folder):
        name = CLIENT
    elif is_collector_folder(folder):
        name = LOCAL
    else:
        raise KeysRefused(
            f"no keys in {folder}: expected client.key_secret and collector.key there. On the collector's machine "
            "run `avaliacoes keys add NAME`, copy the folder it makes to this machine, and name it in "
            f"{ENV_KEYS}"
        )
    return ClientKeys(read_pair(folder / f"{name}.key_secret"), read_public(folder / f"{COLLECTOR}.key"))


def keys_for(
    base: Path, announced: Mapping[str, Any] | None, environment: Mapping[str, str] = os.environ
) -> ClientKeys | None:
    """What a client needs to reach a collector, or None where no keys are asked for.

    Args:
        announced: what the collector of `base` says of itself; None for one that was named by its endpoint.

    Raises:
        KeysRefused: keys are needed, and there are none or unsafe ones.
    """
    given = given_folder(environment)
    own = folder_of(base)
    if announced is None:
        if given is not None:
            return client_keys(given)
        return client_keys(own) if is_collector_folder(own) else None
    server = announced.get(ANNOUNCED)
    if not isinstance(server, str):
        return None
    trouble: KeysRefused | None = None
    named = announced.get("keys")
    folders = (given, Path(named) if isinstance(named, str) else None, own)
    for folder in dict.fromkeys(folder for folder in folders if folder is not None):
        try:
            found = client_keys(folder)
        except KeysRefused as error:
            trouble = trouble or error
            continue
        if found.server == server:
            return found
    raise trouble or KeysRefused(
        f"the collector of {base} asks for keys of its own, and {given or own} holds those of another one. Name the "
        f"right folder in {ENV_KEYS}"
    )


# Writing


def write_pair(folder: Path, name: str, pair: Pair) -> None:
    """Write `<name>.key_secret` (0600) and `<name>.key`."""
    _write(
        folder / f"{name}.key_secret",
        f"#   secret key of {name}: keep it on the machine that uses it\n"
        f'curve\n    public-key = "{pair.public}"\n    secret-key = "{pair.secret}"\n',
    )
    write_public(folder / f"{name}.key", pair.public, name)


def write_public(path: Path, public: str, name: str) -> None:
    """Write a public key (0600 like everything there: it is nobody else's business who may write)."""
    _write(path, f'#   public key of {name}\ncurve\n    public-key = "{public}"\n')


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
