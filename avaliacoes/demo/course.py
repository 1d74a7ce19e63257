"""One run of the demo: the children, what their files tell meanwhile, and their end."""

from __future__ import annotations

import signal
import sys
import time
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import avaliacoes
from avaliacoes.demo import display, processes
from avaliacoes.demo.processes import Child
from avaliacoes.demo.sessions import Story, session_of
from contract import places, service

KINDS: Final = ("collector", "analyzer", "renderer")
#: Name, what it is to show, and the learner's arguments. The sabotaged one differs from the second in one number.
TRAINERS: Final = (
    ("seed1", "learns", ("--seed", "1")),
    ("seed2", "learns", ("--seed", "2")),
    ("sabotaged", "learning rate x 10,000", ("--seed", "2", "--learning-rate", "10")),
)
_READY_WITHIN_S: Final = 30.0
_GRACE_S: Final = 30.0


def learner() -> Path:
    """The training script: inside the package when installed from a wheel, in `examples/` in a clone.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(avaliacoes.__file__).resolve().parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / "cartpole_reinforce.py").is_file():
            return folder / "cartpole_reinforce.py"
    raise FileNotFoundError(f"cartpole_reinforce.py is neither in {package / 'examples'} nor in its clone's examples/")


@dataclass(slots=True)
class Demo:
    """One run: the children, what they tell, and what went wrong."""

    base: Path
    seconds: float
    open_pages: bool
    stop: service.Stop
    shown: display.Display
    began: float = field(default_factory=time.time)
    services: Child | None = None
    trainers: list[Child] = field(default_factory=list)
    entries: list[display.Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def fail(self, text: str, child: Child | None = None) -> None:
        self.failures.append(text)
        self.shown.say(text if child is None else f"{text}; its last words (all in {child.log}):\n{child.last_words()}")

    def start_services(self) -> bool:
        """Start the three under honcho and wait until each says that it is ready."""
        argv, environment = service.command("avaliacoes", "up", "--base-path", str(self.base))
        # A collector elsewhere is not what the demo is about.
        environment.pop(places.ENV_ENDPOINT, None)
        log = places.own_dir(self.base) / "demo-services.log"
        self.services = Child.start("services", argv, environment, places.socket_dir(self.base), log)
        deadline = time.monotonic() + _READY_WITHIN_S
        while not all(service.find(self.base, kind) for kind in KINDS):
            if self.services.process.poll() is not None:
                self.fail(f"the services ended with exit code {self.services.process.returncode}", self.services)
                return False
            if time.monotonic() > deadline:
                missing = [kind for kind in KINDS if not service.find(self.base, kind)]
                self.fail(f"not ready within {_READY_WITHIN_S:.0f} s: {', '.join(missing)}", self.services)
                return False
            if self.stop.wait(0.05):
                return False
        self.shown.say("collector, analyzer and renderer run; three trainings begin")
        return True

    def start_trainers(self) -> None:
        script = str(learner())
        _, environment = service.command("avaliacoes")
        # Three small learners share a machine with their user: one thread each is all they need.
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment.pop(places.ENV_ENDPOINT, None)
        for name, purpose, arguments in TRAINERS:
            argv = [sys.executable, script, *arguments, "--seconds", str(self.seconds)]
            argv += ["--base-path", str(self.base), "--prefix", f"cartpole_{name}"]
            log = places.own_dir(self.base) / f"demo-{name}.log"
            self.trainers.append(Child.start(name, argv, environment, places.socket_dir(self.base), log))
            self.entries.append(display.Entry(name, purpose))

    def look(self) -> None:
        """Read what is new, name pages that have appeared, notice who has died."""
        for child, entry in zip(self.trainers, self.entries, strict=True):
            if entry.story is None:
                session = session_of(self.base, f"cartpole_{child.name}", child.process.pid, self.began)
                entry.story = Story(self.base, session) if session else None
            if entry.story is not None:
                entry.story.read()
                page = entry.story.dashboard
                if page.exists() and child.name not in self.named:
                    self.named.add(child.name)
                    self.shown.say(f"watch {entry.name} ({entry.purpose}): {page.as_uri()}")
                    if self.open_pages:
                        webbrowser.open(page.as_uri())
            child.look()
            code = child.process.poll()
            if code and entry.failure is None and not self.stop.is_set():
                entry.failure = f"failed, exit code {code}"
                self.fail(f"training {child.name} ended with exit code {code}", child)

    def watch(self) -> None:
        """Follow the trainings to their end, or until somebody asks to stop."""
        begin = time.monotonic()
        while any(child.process.poll() is None for child in self.trainers) and not self.stop.wait(0.25):
            self.look()
            elapsed = time.monotonic() - begin
            self.shown.update(self.entries, elapsed)
            if self.services is not None:
                self.services.look()
                if (code := self.services.process.poll()) is not None:
                    self.fail(f"the services ended early with exit code {code}", self.services)
                    return
            if elapsed > self.seconds + _GRACE_S:
                self.fail(f"the trainings should have ended {_GRACE_S:.0f} s ago")
                return

    def settle(self, within: float) -> None:
        """Wait until the last records, and pages drawn after them, are on disk."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.look()
            stories = [entry.story for entry in self.entries if entry.story is not None and not entry.failure]
            if all(story.ended and story.drawn() for story in stories):
                return
            time.sleep(0.1)

    def end(self) -> None:
        """End trainers, then services; say so if any had to be killed."""
        killed = processes.end(self.trainers, signal.SIGINT, 8.0)
        if self.services is not None:
            if self.trainers and self.services.process.poll() is None:
                self.settle(10.0)
            killed += processes.end([self.services], signal.SIGTERM, 12.0)
        for who in killed:
            self.fail(f"{who} did not end when asked and was killed")
