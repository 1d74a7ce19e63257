"""What happens to producers when the process forks, or ends without `close()`."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Protocol


class Managed(Protocol):
    producer_id: str

    def after_fork_in_child(self) -> None: ...
    def at_exit(self) -> None: ...


_live: weakref.WeakSet[Managed] = weakref.WeakSet()
_installed_in: int | None = None


def manage(producer: Managed) -> None:
    """From now on see to `producer` at forks and at the end of the process."""
    global _installed_in
    _live.add(producer)
    if _installed_in is None:
        os.register_at_fork(after_in_child=_in_child)
        atexit.register(_at_exit)
    if _installed_in != os.getpid():
        _installed_in = os.getpid()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # Children of multiprocessing leave by os._exit and skip atexit, but run these.
            util.Finalize(None, _at_exit, exitpriority=100)


def forget(producer: Managed) -> None:
    _live.discard(producer)


def managed() -> tuple[Managed, ...]:
    """The producers of this process that are not closed."""
    return tuple(_live)


def alive_here() -> set[str]:
    """Ids of the producers of this process: their rings are no orphans."""
    return {producer.producer_id for producer in managed()}


def _in_child() -> None:
    for producer in managed():
        producer.after_fork_in_child()


def _at_exit() -> None:
    for producer in managed():
        producer.at_exit()
