"""Text from outside as text that can do nothing to a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Controls, format characters (also those that turn the direction of text), surrogates, line and paragraph separators, characters that
#: no standard gives a width, and marks that stack on the letter before them: harmless one by one, not by the dozen.
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})
#: Letters without a width.
_EMPTY: Final = frozenset("\u115f\u1160\u3164\uffa0")


def plain(text: object, most: int = 1000) -> str:
    """The first `most` characters of `text`, everything that could move a cursor, change a colour or turn the line written as an escape.

    >>> plain("a\\x1b[2Jb"), plain("x\\u202ey"), plain("ação")
    ('a\\\\x1b[2Jb', 'x\\\\u202ey', 'ação')
    """
    given = str(text)[:most]
    if given.isascii() and given.isprintable():
        return given
    return "".join(_escape(char) if _is_harmful(char) else char for char in unicodedata.normalize("NFC", given))


def _is_harmful(char: str) -> bool:
    return not (char.isprintable() or char == " ") or unicodedata.category(char) in _HARMFUL or char in _EMPTY


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
