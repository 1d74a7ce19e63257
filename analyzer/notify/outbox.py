"""Messages on their way: one letter per message and receiver, tried again with growing pauses. Pure: the time comes in.

A letter is kept, also over a restart, until its receiver has taken it or its tries are used up: at least once, not at most
once. Killed between a receiver's yes and the note of it, it is sent a second time; never is it lost for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from analyzer.notify.message import Message

FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 600.0
#: Letters that may wait; past it the oldest are given up, counted and said.
MOST_LETTERS: Final = 200


@dataclass(slots=True)
class Letter:
    """A message for one receiver (`target`, a key that tells nothing of its URL)."""

    target: str
    title: str
    text: str
    kind: str
    written: float
    tries: int = 0
    next_try: float = 0.0

    @property
    def message(self) -> Message:
        return Message(self.title, self.text, self.kind)


def pause_after(tries: int) -> float:
    """Seconds to wait after so many tries that failed: 2, 4, 8, ... 600."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries - 1, 30)))


@dataclass
class Outbox:
    letters: list[Letter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def post(self, message: Message, targets: Iterable[str], now: float) -> list[Letter]:
        """One letter for each receiver; returns the letters that had to be given up for want of room."""
        self.letters += [Letter(target, *message, written=now, next_try=now) for target in targets]
        excess = max(0, len(self.letters) - MOST_LETTERS)
        dropped, self.letters = self.letters[:excess], self.letters[excess:]
        self.counts["no_room"] += len(dropped)
        return dropped

    def ready(self, now: float, ending: bool = False) -> list[Letter]:
        """The letters to try now, the oldest first; for each receiver only its oldest, so that they arrive in order.

        Args:
            ending: also those whose pause is not over.
        """
        first: dict[str, Letter] = {}
        for letter in self.letters:
            first.setdefault(letter.target, letter)
        # A pause longer than there can be: the clock was set back.
        return [one for one in first.values() if ending or not 0 < one.next_try - now <= LONGEST_PAUSE_S]

    def taken(self, letter: Letter) -> None:
        """The receiver has it."""
        self.letters.remove(letter)
        self.counts["sent"] += 1

    def failed(self, letter: Letter, retries: int, now: float) -> bool:
        """The receiver has it not; True when that was the last try."""
        letter.tries += 1
        self.counts["failed_try"] += 1
        if letter.tries >= retries:
            self.letters.remove(letter)
            self.counts["given_up"] += 1
            return True
        letter.next_try = now + pause_after(letter.tries)
        return False

    def keep_only(self, targets: Iterable[str]) -> int:
        """Forget letters to receivers that are configured no more; how many."""
        known = set(targets)
        before = len(self.letters)
        self.letters = [one for one in self.letters if one.target in known]
        self.counts["no_receiver"] += before - len(self.letters)
        return before - len(self.letters)
