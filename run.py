"""Set up a clone and use it, with one command and nothing installed before: Python 3.10 or newer with venv and pip.

    python3 run.py demo      three live trainings for a minute; watch their dashboards, read their reports
    python3 run.py up        the three services, until Ctrl-C
    python3 run.py test      every test (arguments are passed to pytest)
    python3 run.py check     formatting, lint, types, layers
    python3 run.py setup     only the environment, `.venv` beside this file

What `.venv` holds is noted in it, so a second run installs nothing. Arguments after the command are passed on
(`python3 run.py demo --seconds 20`). The exit code is that of what was run; 2 when the set-up fails.
"""

# This file must load on a Python that is too old, or it could not tell people which one they need.
from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
#: Command -> which of pyproject's optional dependencies it needs.
COMMANDS = {"demo": "", "up": "", "setup": "", "test": "[test,check]", "check": "[test,check]"}
#: The tests of the Stable-Baselines3 integration run where these are installed; continuous integration installs them.
TORCH = ["torch==2.13.0", "stable-baselines3>=2.3"]
#: What an editable install was made from: when one of these changes, it is made again.
INSTALLED = ["pyproject.toml", "hatch_build.py", "producer/_quick.c"]
CHECKS = ["ruff check .", "ruff format --check .", "mypy", "mypy --strict examples run.py", "lint-imports"]
VERSION = ".".join(str(number) for number in sys.version_info[:2])


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def fail(text: str) -> None:
    say(f"run.py: {text}\n")
    sys.exit(2)


def check_python() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - it is this very check that speaks of it
        fail(f"Python 3.10 or newer is needed, this is {VERSION}; run it with a newer one: python3.11 run.py ...")
    if os.name != "posix":
        fail("Linux or macOS is needed: shared memory, ipc sockets and file locks are theirs")
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        modules, package = " and ".join(missing), f"python{VERSION}-venv"
        fail(f"this Python lacks the module {modules}; on Debian and Ubuntu: apt install python3-venv (or {package})")


def run_quietly(what: str, command: list[str]) -> None:
    """Run a command, its output in a log file and a sign of life on the terminal; end with the log's end if it fails."""
    handle, name = tempfile.mkstemp(prefix="avaliacoes-setup-", suffix=".log")
    begin = shown = time.time()
    process = subprocess.Popen(command, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=handle, stderr=handle)
    os.close(handle)
    say(f"{what} ...")
    try:
        while process.poll() is None:
            time.sleep(0.1)
            if time.time() - shown >= 5:
                shown = time.time()
                say(f" {shown - begin:.0f} s")
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        say(" stopped\n")
        sys.exit(130)
    log = Path(name)
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        say(f" failed\n{last}\n")
        fail(f"could not go on: {' '.join(command)} (all it said is in {log})")
    log.unlink()
    say(f" done in {time.time() - begin:.0f} s\n")


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def set_up(extras: str, more: list[str]) -> None:
    """Make `.venv` hold this project, editable, with `extras` and `more`; nothing to do if its note says so already.

    The note's lines begin with what an environment cannot outlive (this Python, this folder) and what it can (the
    project's requirements, its one compiled part): the first makes it anew, the second installs again.
    """
    note = VENV / "holds.txt"
    whole = digest(sys.version.encode(), str(ROOT).encode())
    basis = f"{whole} {digest(*((ROOT / name).read_bytes() for name in INSTALLED))}"
    line = " ".join([basis, extras or "[]", *more])
    held = note.read_text().splitlines() if note.exists() else []
    usable = (
        PYTHON.exists()
        and all(old.startswith(whole) for old in held)
        and not subprocess.call([str(PYTHON), "-c", "import pip"], stderr=subprocess.DEVNULL)
    )
    if usable and line in held:
        return
    if not usable:
        held = []
        run_quietly("making .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)])
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    run_quietly(f"installing avaliacoes{extras}", [*pip, "-e", f".{extras}"])
    if more:
        run_quietly(f"installing {' '.join(more)}", pip + more)
    note.write_text("\n".join([*(old for old in held if old.startswith(basis)), line]) + "\n")


def check() -> int:
    """Every linter, each to its end; 1 if any found something."""
    failed = []
    for line in CHECKS:
        say(f"$ {line}\n")
        program, *arguments = line.split()
        if subprocess.call([str(BIN / program), *arguments]):
            failed.append(line)
    say(f"failed: {'; '.join(failed)}\n" if failed else "every check passed\n")
    return 1 if failed else 0


def main() -> int:
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if command in ("-h", "--help", "help"):
        sys.stdout.write((__doc__ or "").strip() + "\n")
        return 0
    if command not in COMMANDS:
        fail(f"unknown command {command!r}; known are {', '.join(COMMANDS)}")
    check_python()
    continuous = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    set_up(COMMANDS[command], TORCH if command in ("test", "check") and continuous else [])
    os.environ["PATH"] = str(BIN) + os.pathsep + os.environ.get("PATH", "")
    os.environ["VIRTUAL_ENV"] = str(VENV)
    if command == "setup":
        say(f"ready: . {BIN / 'activate'}\n")
        return 0
    if command in ("demo", "up"):
        # In place of this process, so that Ctrl-C and the exit code are the command's own.
        os.execv(str(BIN / "avaliacoes"), ["avaliacoes", command, *arguments])  # noqa: S606
    os.chdir(ROOT)
    if command == "test":
        chosen = arguments or ["-n", "2", "--dist", "loadfile"]
        os.execv(str(PYTHON), [str(PYTHON), "-m", "pytest", *chosen])  # noqa: S606
    return check()


if __name__ == "__main__":
    sys.exit(main())
