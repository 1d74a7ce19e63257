"""What the notifier remembers over a restart: `.avaliacoes/notify_state.json`, 0600, without any URL.

{"positions": {file name: bytes read}, "sent": [unix times of the last hour], "letters": [{...}],
 "groups": [{"rule", "since", "last_told", "more", "entries": {"<session>/<row>": {...}}}]}
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from analyzer.notify.groups import Entry, Group, Groups
from analyzer.notify.outbox import Letter, Outbox
from contract.places import own_dir


def state_file(base: Path) -> Path:
    return own_dir(base) / "notify_state.json"


@dataclass
class State:
    """Everything that decides what is told next.

    `known` is false when nothing was remembered: then what is in the folder from before counts as told.
    """

    groups: Groups = field(default_factory=Groups)
    outbox: Outbox = field(default_factory=Outbox)
    positions: dict[str, int] = field(default_factory=dict)
    known: bool = False


def pack(state: State) -> bytes:
    groups = [
        {**{name: getattr(group, name) for name in ("rule", "since", "last_told", "more")}, "entries": entries}
        for group in state.groups.groups.values()
        for entries in ({key: asdict(entry) for key, entry in group.entries.items()},)
    ]
    return orjson.dumps(
        {
            "positions": state.positions,
            "sent": list(state.groups.sent),
            "letters": [asdict(letter) for letter in state.outbox.letters],
            "groups": groups,
        }
    )


def unpack(data: bytes) -> State:
    """The state that `pack` wrote.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is something else.
    """
    found: dict[str, Any] = orjson.loads(data)
    state = State(known=True)
    state.positions = {str(name): int(position) for name, position in found["positions"].items()}
    state.groups.sent = deque(float(at) for at in found["sent"])
    state.outbox.letters = [Letter(**letter) for letter in found["letters"]]
    for one in found["groups"]:
        entries = {key: Entry(**entry) for key, entry in one["entries"].items()}
        state.groups.groups[one["rule"]] = Group(one["rule"], one["since"], one["last_told"], entries, one["more"])
    return state


def load(base: Path) -> State:
    """What was remembered; an empty state when there is nothing, or nothing that can be read."""
    try:
        return unpack(state_file(base).read_bytes())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return State()


def save(base: Path, state: State) -> None:
    """Write atomically. Raises: OSError."""
    path = state_file(base)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(pack(state))
    os.replace(temporary, path)
