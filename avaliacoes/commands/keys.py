"""`avaliacoes keys`: who may send to a collector, and who may follow it, from other machines.

A running collector notices within a second: nothing is restarted to let somebody in or to shut somebody out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from avaliacoes import key_folders
from avaliacoes.commands import common
from contract import keys, places, service

_STEPS = """\
examples:
  avaliacoes keys init             keys for the collector of this data folder (once; then start the collector again)
  avaliacoes keys add gpu1         let the trainers of one more machine in
  avaliacoes keys add desk --reader  let somebody follow the feed, and not write
  avaliacoes keys remove gpu1      shut them out again
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Keys for collectors that other machines reach. Without keys a collector listens on this machine alone."
    )
    exit_codes = parser.epilog
    parser.epilog = f"{_STEPS}\n{parser.epilog or ''}"
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    init = actions.add_parser("init", help="make the keys folder; what is there stays")
    add = actions.add_parser("add", help="let a machine in: makes the folder to copy there")
    add.add_argument("name", metavar="NAME", help="what to call it: letters, digits, _ . -")
    add.add_argument("--reader", action="store_true", help="it may follow the feed, and not write")
    add.add_argument(
        "--out", metavar="DIR", help="the client folder to make (default: clients/NAME in the keys folder)"
    )
    remove = actions.add_parser("remove", help="shut a machine out, now")
    remove.add_argument("name", metavar="NAME")
    listing = actions.add_parser("list", help="who may write and who may read")
    listing.add_argument("--json", action="store_true", help="as JSON")
    for action in (init, add, remove, listing):
        action.epilog, action.formatter_class = exit_codes, parser.formatter_class
        action.add_argument(
            "--keys",
            metavar="DIR",
            help=f"keys folder (default: ${keys.ENV_KEYS}, else .avaliacoes/keys in the data folder)",
        )
        common.add_base(action)


def run(arguments: argparse.Namespace) -> int:
    base = places.base_path(arguments.base_path)
    given = Path(arguments.keys).expanduser().absolute() if arguments.keys else keys.given_folder()
    if given is not None and keys.is_client_folder(given):
        raise keys.KeysRefused(f"{given} is a client folder. Run this on the collector's machine, on its keys folder")
    folder = given or keys.folder_of(base)
    if given is None:
        places.prepare_base(base)
    if arguments.action == "init":
        return _init(folder, base)
    if arguments.action == "add":
        return _add(folder, base, arguments)
    if not keys.is_collector_folder(folder):
        raise keys.KeysRefused(f"no keys in {folder}. Make them with `avaliacoes keys init`")
    if arguments.action == "remove":
        return _remove(folder, arguments.name)
    return _list(folder, arguments.json)


def _init(folder: Path, base: Path) -> int:
    made = key_folders.make_folder(folder)
    common.say(f"{'made' if made else 'already there, nothing changed'}: {folder}")
    common.put(keys.read_public(folder / f"{keys.COLLECTOR}.key").encode() + b"\n")
    if made:
        _say_what_runs(base)
    return service.EXIT_OK


def _say_what_runs(base: Path) -> None:
    if service.is_running(base, "collector"):
        common.say("A collector already runs on this data folder: start it again, and it asks for these keys.")


def _add(folder: Path, base: Path, arguments: argparse.Namespace) -> int:
    if key_folders.make_folder(folder):
        common.say(f"made the collector's keys first: {folder}")
        _say_what_runs(base)
    name = arguments.name
    role = keys.READERS if arguments.reader else keys.WRITERS
    target = Path(arguments.out).expanduser().absolute() if arguments.out else None
    place = key_folders.add_client(folder, name, role, target)
    verb = "follow the feed" if arguments.reader else "send records"
    if place is None:
        common.say(f"{name} may {verb} now too, with the key it has.")
        return service.EXIT_OK
    common.put(os.fsencode(place) + b"\n")
    common.say(
        f"{name} may {verb} now. Copy that folder to its machine, by a way you trust, and delete it here:\n"
        f"  scp -rp {place} {name}:avaliacoes-keys && rm -r {place}\n"
        "and there, before the training:\n"
        f"  chmod 700 ~/avaliacoes-keys && chmod 600 ~/avaliacoes-keys/*\n"
        f"  export {keys.ENV_KEYS}=~/avaliacoes-keys\n"
        f"  export {places.ENV_ENDPOINT}={_endpoint(base)}"
    )
    return service.EXIT_OK


def _endpoint(base: Path) -> str:
    """What the other machine should connect to, as far as we know."""
    info = service.find(base, "collector") or {}
    ingest = str(info.get("ingest", ""))
    port = ingest.rpartition(":")[2] if ingest.startswith("tcp://") else "PORT"
    return f"tcp://{os.uname().nodename}:{port}"


def _remove(folder: Path, name: str) -> int:
    had = key_folders.remove_client(folder, name)
    if not had:
        common.say(f"avaliacoes: no key called {name} in {folder}")
        return service.EXIT_FAILED
    common.say(f"{name} is no longer among the {' and '.join(had)}; a running collector cuts it off within a second.")
    return service.EXIT_OK


def _list(folder: Path, as_json: bool) -> int:
    found: dict[str, dict[str, object]] = {}
    for role in keys.ROLES:
        for key, name in keys.read_role(folder, role).items():
            row = found.setdefault(name, {"name": name, "key": key, "writer": False, "reader": False})
            row[role.removesuffix("s")] = True
    rows = [found[name] for name in sorted(found)]
    if as_json:
        common.put_json({"folder": str(folder), "clients": rows})
    else:
        for row in rows:
            may = ", ".join(role for role in ("writer", "reader") if row[role])
            common.put(f"{row['name']:<24} {may:<15} {row['key']}\n".encode())
    return service.EXIT_OK
