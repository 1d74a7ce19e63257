from collections.abc import Callable
from typing import Any

AGREEMENT: int

class Call:
    """A log call in front of `slow`, which takes what this does not; see `_quick.c`.

    Args:
        turn: a list whose one item, the newest step, is there while it is nobody's turn.
        attend: called at the end of a call that finds a sign set.
        most_bytes: longer records go the slow way.
    """

    def __init__(
        self, slow: Callable[..., None], turn: list[Any], attend: Callable[[], None], most_bytes: int
    ) -> None: ...
    def __call__(self, step: Any, **metrics: Any) -> None: ...
    def open(self, view: memoryview, heads: memoryview, head: int, begin: int, end: int) -> None:
        """The block that is written from now on: bytes `begin` to `end` of `view`, its head word at `heads[head]`.

        Raises:
            ValueError: it does not lie in that memory.
        """
    def shut(self) -> None:
        """There is no block: every call goes the slow way."""
    def listen(self, signs: bytearray) -> None:
        """Two bytes; while one of them is set, calls end with `attend`."""
