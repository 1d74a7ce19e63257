"""What a browser may do with an answer: headers, and the content security policy of a page. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from renderer.serve.routes import INDEX, PAGE, REPORT

#: On every answer. No other site may include it, embed it, or keep a handle on its window; no address leaks to another site.
COMMON: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
#: For what is no page: nothing may run in it, also when somebody opens it by its address.
INERT: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
#: For the answer that takes a token out of the address: all it may do is send on.
SENDING_ON: Final = INERT.replace(b"; sandbox", b"")
#: How far into a page its head may reach.
HEAD_BYTES: Final = 256 * 1024

_META: Final = re.compile(rb"<meta http-equiv=\"Content-Security-Policy\" content=\"([^\"<>]*)\">", re.IGNORECASE)
_HASH: Final = re.compile(rb"'sha(?:256|384|512)-[A-Za-z0-9+/=]{40,100}'")
_STYLE: Final = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)
#: Plotly makes an empty style element and fills it rule by rule; this is the hash of nothing.
_EMPTY: Final = b"'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def of_page(kind: str, head: bytes) -> bytes:
    """The policy of a page, from its beginning.

    Scripts: our own files, and the inline script whose hash the page's own policy names; the renderer writes that policy before any
    text from outside, so text that got into the page by a mistake cannot bless a script of its own. Styles: our own files and
    the page's style elements; a report brings its styles along as attributes and may use them. No other origin, for anything.
    """
    if kind not in (PAGE, REPORT, INDEX):
        return INERT
    head = head[:HEAD_BYTES]
    begin = head.find(b"<meta http-equiv")
    own = _META.search(head)
    # Before its policy a page has its document type, character set and our comment: where more stands, nothing is believed.
    hashes = _HASH.findall(_directive(own[1], b"script-src")) if own and own.start() == begin and begin < 1000 else []
    styles = [_sha256(text) for text in _STYLE.findall(head.split(b"<body", 1)[0])]
    style = b"'unsafe-inline'" if kind == REPORT else b" ".join([_EMPTY, *styles])
    return b"; ".join(
        [
            b"default-src 'none'",
            b" ".join([b"script-src 'self'", *dict.fromkeys(hashes)]),
            b"style-src 'self' " + style,
            b"img-src 'self' data: blob:",
            b"font-src 'self' data:",
            b"connect-src 'self'",
            b"worker-src 'self' blob:",
            b"base-uri 'none'",
            b"form-action 'none'",
            b"frame-ancestors 'none'",
        ]
    )


def _directive(policy: bytes, name: bytes) -> bytes:
    for part in policy.split(b";"):
        words = part.strip().split(None, 1)
        if words and words[0].lower() == name:
            return words[1] if len(words) > 1 else b""
    return b""


def _sha256(text: bytes) -> bytes:
    return b"'sha256-" + base64.b64encode(hashlib.sha256(text).digest()) + b"'"
