"""Where things lie: the data folder, what the services keep in it, and the private folder for sockets and rings.

<base_path>/                         the user's data: JSONL files, dashboards, reports
<base_path>/.avaliacoes/             ours: locks, service files, checkpoints, spool, assets
<shared memory>/avaliacoes-<uid>/<key>/   rings (flight recorders), one file per producer
<runtime>/avaliacoes-<uid>/<key>/         ipc sockets; <key> is a hash of the data folder's real path
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

ENV_BASE: Final = "AVALIACOES_DIR"
ENV_ENDPOINT: Final = "AVALIACOES_ENDPOINT"
ENV_RUNTIME: Final = "AVALIACOES_RUNTIME_DIR"
DEFAULT_BASE: Final = "avaliacoes"
_SHM = Path("/dev/shm")
#: sun_path is 108 bytes with its terminator on Linux, 104 on macOS.
MAX_SOCKET_PATH: Final = 103


class PlaceRefused(OSError):
    """A folder that cannot be used safely, with the reason and what to do."""


def base_path(given: str | os.PathLike[str] | None = None) -> Path:
    """The data folder: the argument, else `AVALIACOES_DIR`, else `avaliacoes` under the working directory."""
    return Path(given or os.environ.get(ENV_BASE) or DEFAULT_BASE).expanduser().absolute()


def own_dir(base: Path) -> Path:
    """The folder inside the data folder that the services keep for themselves."""
    return base / ".avaliacoes"


def prepare_base(base: Path) -> Path:
    """Make the data folder and its own folder, and say clearly when that cannot be.

    Raises:
        PlaceRefused: the path is a file, or may not be written. A full disk raises plain `OSError` (ENOSPC).
    """
    own = own_dir(base)
    try:
        base.mkdir(parents=True, exist_ok=True)
        own.mkdir(mode=0o700, exist_ok=True)
        for name in ("sessions", "spool", "claims"):
            (own / name).mkdir(mode=0o700, exist_ok=True)
        ignore = own / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise PlaceRefused(
            error.errno,
            f"cannot write to the data folder {base}: {error.strerror}. "
            f"Give base_path=... or set {ENV_BASE} to a folder that this user may write",
        ) from error
    if not os.access(base, os.W_OK | os.X_OK):
        raise PlaceRefused(
            13,
            f"the data folder {base} is not writable for this user. Give base_path=... or set {ENV_BASE}",
        )
    return base


def key_of(base: Path) -> str:
    """A short name for a data folder, the same for every process that reaches it by any path."""
    return hashlib.blake2b(os.fsencode(os.path.realpath(base)), digest_size=8).hexdigest()


def _private(folder: Path) -> Path:
    """Make `folder` for this user alone, and refuse one that somebody else prepared."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise PlaceRefused(1, f"{folder} belongs to somebody else (uid {info.st_uid}); remove it or set {ENV_RUNTIME}")
    if info.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _runtime_roots() -> list[Path]:
    forced = os.environ.get(ENV_RUNTIME)
    if forced:
        return [Path(forced)]
    roots = [Path(x) for x in (os.environ.get("XDG_RUNTIME_DIR"),) if x and os.access(x, os.W_OK)]
    return [*roots, Path(tempfile.gettempdir())]


def socket_dir(base: Path) -> Path:
    """The private folder for this data folder's ipc sockets (made if missing)."""
    for root in _runtime_roots():
        folder = root / f"avaliacoes-{os.getuid()}" / key_of(base)
        if len(os.fsencode(folder)) + len("/ingest.sock") <= MAX_SOCKET_PATH:
            _private(folder.parent)
            return _private(folder)
    raise PlaceRefused(36, f"no runtime folder short enough for a socket; set {ENV_RUNTIME} to a short path")


def ring_dirs(base: Path) -> list[Path]:
    """Where rings of this data folder may lie, best first: shared memory, then runtime and temporary folders.

    `AVALIACOES_RUNTIME_DIR` replaces them all: that is how a system without `/dev/shm` is played on one that has it.
    """
    roots = _runtime_roots()
    if ENV_RUNTIME not in os.environ and _SHM.is_dir():
        roots = [_SHM, *roots]
    return [root / f"avaliacoes-{os.getuid()}" / key_of(base) / "rings" for root in roots]


def make_ring_dir(folder: Path) -> Path:
    """Make one of `ring_dirs` with its private parents."""
    _private(folder.parent.parent)
    _private(folder.parent)
    return _private(folder)


def ipc_endpoint(base: Path, name: str) -> str:
    """The default endpoint of socket `name` ("ingest" or "feed") for this data folder."""
    return f"ipc://{socket_dir(base)}/{name}.sock"


def spool_dir(base: Path) -> Path:
    return own_dir(base) / "spool"


def checkpoint_file(base: Path, session: str) -> Path:
    """What the collector knows of one session: categories, offsets, next sequence numbers, owner."""
    return own_dir(base) / "sessions" / f"{session}.json"


def claim_file(base: Path, session: str) -> Path:
    """Exists once the name of a session is taken; made with O_EXCL by the one who takes it."""
    return own_dir(base) / "claims" / session


def status_file(base: Path) -> Path:
    """The collector's counters, rewritten about once a second."""
    return own_dir(base) / "status.json"


def monitor_file(base: Path) -> Path:
    """The monitor's settings (`settings.PlotConfig`), read by analyzer and renderer while they run."""
    return own_dir(base) / "monitor.json"
