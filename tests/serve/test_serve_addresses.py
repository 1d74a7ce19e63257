"""Which addresses exist, what they may be kept for, and that nothing else of the folder has one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.serve import files, routes

SESSION = "run_20250101_000000"
LIVE = f"/.avaliacoes/live/{SESSION}"
SHOWN = {
    f"/dashboard_{SESSION}.html": (routes.HTML, "no-cache"),
    f"/report_{SESSION}.html": (routes.HTML, "no-cache"),
    f"{LIVE}/manifest.js": (routes.SCRIPT, "no-cache"),
    f"{LIVE}/segment-3.js": (routes.SCRIPT, "no-cache"),
    f"{LIVE}/segment-3.js?g=a1b2c3": (routes.SCRIPT, "immutable"),
    f"{LIVE}/manifest.js?t=1735689600000": (routes.SCRIPT, "no-store"),
    f"{LIVE}/tiles/7-1-0.js": (routes.SCRIPT, "no-cache"),
    f"{LIVE}/tiles/7-1-0.js?g=a1b2c3": (routes.SCRIPT, "no-cache"),
    "/.avaliacoes/assets/plotly-7.1.0.min.js": (routes.SCRIPT, "immutable"),
    f"/data/training_{SESSION}.jsonl": ("application/x-ndjson", "no-store"),
}
HIDDEN = [
    "/notes.txt",
    "/avaliacoes.toml",
    f"/training_{SESSION}.jsonl",
    "/.avaliacoes/status.json",
    "/.avaliacoes/server.json",
    "/.avaliacoes/server.lock",
    "/.avaliacoes/serve_token",
    f"/.avaliacoes/sessions/{SESSION}.json",
    "/.avaliacoes/keys/collector.key_secret",
    "/.avaliacoes/spool/x",
    f"/.avaliacoes/claims/{SESSION}",
    "/.avaliacoes/live/",
    "/.avaliacoes/",
    "/.avaliacoes",
    f"{LIVE}/",
    f"{LIVE}/other.js",
    f"{LIVE}/index.json",
    f"{LIVE}/run.json",
    "/data/",
    "/data/status.json",
    "/data/serve_token.jsonl",
]
TRAVERSALS = [
    "/../outside.html",
    "/dashboard_../../outside.html",
    "/dashboard_%2e%2e%2f%2e%2e%2foutside.html",
    "/%2e%2e/outside.html",
    "/%252e%252e/outside.html",
    "/..%2foutside.html",
    "/..%5coutside.html",
    "/..\\outside.html",
    "/dashboard_x\\..\\..\\outside.html",
    "//etc/passwd",
    "/./notes.txt",
    "/.avaliacoes/assets/../status.json",
    "/.avaliacoes/assets/..%2fstatus.json",
    "/.avaliacoes/live/../status.json",
    "/.avaliacoes/live/../keys/collector.key_secret",
    f"{LIVE}/tiles/../../../status.json",
    "/data/../.avaliacoes/status.json",
    "/data/..%2f..%2foutside.jsonl",
    "/data/training_..jsonl",
    f"/dashboard_{SESSION}.html%00",
    f"/dashboard_{SESSION}.html/",
    f"/dashboard_{SESSION}.html/..",
    f"/%64ashboard_{SESSION}.html",
    "/dashboard_\uff0e\uff0e.html",
    "/" + "a" * 5000,
]


def test_what_may_be_seen(serve: Callable[..., object], filled: Path) -> None:
    """Pages, their parts, reports and data files are answered with their type and with how long they hold; the rest is not there."""
    server = serve(filled)
    for path, (media, keep) in SHOWN.items():
        found = server.get(path)
        assert (found.status, found.headers["content-type"]) == (200, media), path
        assert keep in found.headers["cache-control"], path
        assert found.headers["x-content-type-options"] == "nosniff" and "server" not in found.headers
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
        assert found.headers["referrer-policy"] == "no-referrer"
    for path in (*HIDDEN, *TRAVERSALS[:-2]):
        found = server.get(path)
        assert found.status in (400, 404) and b"private" not in found.body, path
    far = server.raw(f"GET {TRAVERSALS[-2]} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
    long = server.raw(f"GET {TRAVERSALS[-1]} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
    assert b" 400 " in far[:20] and b" 414 " in long[:20]
    nul = server.raw(f"GET /dashboard_{SESSION}.html\0 HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
    absolute = f"GET http://elsewhere/notes.txt HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
    assert b" 400 " in nul and b" 404 " in server.raw(absolute.encode())


def test_a_data_file_ends_with_a_whole_line(serve: Callable[..., object], filled: Path) -> None:
    """A download is an attachment, cut after its last complete record."""
    found = serve(filled).get(f"/data/training_{SESSION}.jsonl")
    assert found.body == b'{"step":1,"loss":0.5}\n'
    assert found.headers["content-disposition"] == f'attachment; filename="training_{SESSION}.jsonl"'


def test_a_part_that_has_not_changed_is_not_sent_again(serve: Callable[..., object], filled: Path) -> None:
    """The manifest is asked for again and again: 304 while it is the same, the new one once it was replaced."""
    server = serve(filled)
    path = f"{LIVE}/manifest.js"
    first = server.get(path)
    again = server.get(path, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    fresh = filled / "fresh.js"
    fresh.write_text("avaliacoes({n: 2})")
    os.replace(fresh, filled / path[1:])
    after = server.get(path, If_None_Match=first.headers["etag"])
    assert (after.status, after.body) == (200, b"avaliacoes({n: 2})")


def test_links_are_not_followed(serve: Callable[..., object], filled: Path) -> None:
    """A link in the folder, to a file or to a folder, shows nothing of where it leads; neither does a pipe."""
    server = serve(filled)
    (filled / "dashboard_linked.html").symlink_to(filled.parent / "outside.html")
    (filled / "training_linked.jsonl").symlink_to(filled.parent / "outside.html")
    elsewhere = filled.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.js").write_text("private")
    (filled / ".avaliacoes/live/linked").symlink_to(elsewhere)
    os.mkfifo(filled / "dashboard_pipe.html")
    (filled / "dashboard_folder.html").mkdir()
    for path in (
        "/dashboard_linked.html",
        "/data/training_linked.jsonl",
        "/.avaliacoes/live/linked/manifest.js",
        "/dashboard_pipe.html",
        "/dashboard_folder.html",
    ):
        assert server.get(path).status == 404, path


def test_the_folder_may_be_reached_by_a_link(filled: Path) -> None:
    """The data folder itself may be a link: that was the user's choice."""
    link = filled.parent / "link"
    link.symlink_to(filled)
    opened = files.open_below(link, (f"dashboard_{SESSION}.html",))
    assert opened is not None and os.read(opened.fd, 100) == b"<!doctype html>page"
    os.close(opened.fd)


def test_a_folder_without_a_page_of_all_runs(serve: Callable[..., object], filled: Path) -> None:
    """Until the page of all runs has been written, the root lists the runs; then it is that page."""
    server = serve(filled)
    assert f"dashboard_{SESSION}.html" in server.get("/").body.decode()
    (filled / "dashboard.html").write_text("all of them")
    assert server.get("/").body == server.get("/dashboard.html").body == b"all of them"


@given(
    st.text(st.characters(codec="utf-8"), max_size=60)
    | st.from_regex(r"/(\.avaliacoes|data|dashboard_)[./%a-z0-9_\\-]*")
)
def test_no_path_leaves_the_folder(path: str) -> None:
    """Whatever is asked for, the file named has plain parts, and lies among those that may be read."""
    target = routes.find(path)
    if target is not None:
        assert all(part not in ("", ".", "..") and not set(part) & set("/\\\0%") for part in target.parts)
        allowed = ("dashboard", "report_", ".avaliacoes")
        assert not target.parts or target.parts[0].startswith(allowed) or target.kind == routes.DOWNLOAD


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "FOO"])
def test_only_get(serve: Callable[..., object], filled: Path, method: str) -> None:
    """Every other method is refused, and says what is allowed."""
    found = serve(filled).get(f"/dashboard_{SESSION}.html", method)
    assert found.status == 405 and found.headers["allow"] == "GET"
