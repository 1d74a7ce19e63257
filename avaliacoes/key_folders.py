"""Making keys folders, and letting clients in and out: what `avaliacoes keys` does. Where all lies is in `contract.keys`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import zmq

from contract import keys


def make_pair() -> keys.Pair:
    """A fresh key pair."""
    public, secret = zmq.curve_keypair()
    return keys.Pair(public.decode(), secret.decode())


def make_folder(folder: Path) -> bool:
    """Make a collector's keys folder with its own and the local key; False if it was there already.

    Raises:
        keys.KeysRefused: what is there can be written by others, or is damaged.
    """
    before = os.umask(0o077)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.check_folder(folder)
        for role in (*keys.ROLES, keys.CLIENTS):
            (folder / role).mkdir(mode=0o700, exist_ok=True)
        made = False
        for name in (keys.COLLECTOR, keys.LOCAL):
            if not (folder / f"{name}.key_secret").exists():
                keys.write_pair(folder, name, make_pair())
                made = True
            keys.write_public(folder / f"{name}.key", keys.read_pair(folder / f"{name}.key_secret").public, name)
        local = keys.read_public(folder / f"{keys.LOCAL}.key")
        for role in keys.ROLES:
            if made or not (folder / role / f"{keys.LOCAL}.key").exists():
                keys.write_public(folder / role / f"{keys.LOCAL}.key", local, keys.LOCAL)
        return made
    finally:
        os.umask(before)


def add_client(folder: Path, name: str, role: str, target: Path | None = None) -> Path | None:
    """Let `name` in, in one role; the client folder to copy, or None when that client has its key from another role.

    Raises:
        keys.KeysRefused: the name cannot be or is taken, or the folders cannot be used.
    """
    keys.check_name(name)
    if (folder / role / f"{name}.key").exists() or name == keys.LOCAL:
        raise keys.KeysRefused(
            f"{name} is there already, in {folder / role}. `avaliacoes keys remove {name}` comes first"
        )
    for other in keys.ROLES:
        if (folder / other / f"{name}.key").exists():
            keys.write_public(folder / role / f"{name}.key", keys.read_public(folder / other / f"{name}.key"), name)
            return None
    place = target or folder / keys.CLIENTS / name
    pair = make_pair()
    before = os.umask(0o077)
    try:
        try:
            place.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise keys.KeysRefused(f"cannot make the client folder {place}: {error.strerror}") from error
        keys.write_pair(place, keys.CLIENT, pair)
        keys.write_public(
            place / f"{keys.COLLECTOR}.key", keys.read_public(folder / f"{keys.COLLECTOR}.key"), keys.COLLECTOR
        )
        # Last, so that nobody is let in whose folder was not finished.
        keys.write_public(folder / role / f"{name}.key", pair.public, name)
    finally:
        os.umask(before)
    return place


def remove_client(folder: Path, name: str) -> list[str]:
    """Take a name out of every role; the roles it had, none if it was not there.

    Raises:
        keys.KeysRefused: the name cannot be, or is this machine's own.
    """
    keys.check_name(name)
    if name == keys.LOCAL:
        raise keys.KeysRefused(f"{name} is the key of this machine's own services and trainings; it stays")
    had = []
    for role in keys.ROLES:
        path = folder / role / f"{name}.key"
        if path.exists():
            path.unlink()
            had.append(role)
    if (folder / keys.CLIENTS / name).is_dir():
        shutil.rmtree(folder / keys.CLIENTS / name)
    return had
