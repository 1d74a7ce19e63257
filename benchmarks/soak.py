"""Soak: trainings under random faults, for minutes or hours, and at the end an account of every record.

    python benchmarks/soak.py --minutes 10            random faults; the seed of every round is printed
    python benchmarks/soak.py --seed 12345 --rounds 1  the same faults again

Each round is a fresh data folder: trainings of random length, pace and ending share a collector, an analyzer and a
renderer, all of which are killed, torn in the middle of a line, frozen and started again at random moments. Then everybody is
left alone, and the audit of the chaos tests compares what each training counted for itself with what is on disk.

Exit code 0 when nothing was lost or doubled, 1 otherwise; the folder of a bad round is kept and named. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "chaos")]

from audit import Report, audit, leftovers  # noqa: E402 - the path comes first
from chaos_processes import Child, Service, Trainer, Wrapped  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from tally import Tally  # noqa: E402

ENDS = ("close", "close", "close", "fall", "exception", "exit", "osexit", "segfault", "kill", "term", "interrupt")
KINDS = ("collector", "analyzer", "renderer")
FAULTS = (
    ("kill collector", 6),
    ("tear collector", 3),
    ("end collector", 2),
    ("freeze collector", 2),
    ("no collector", 1),
    ("kill trainer", 6),
    ("crash trainer", 2),
    ("freeze trainer", 2),
    ("kill trainer and collector", 3),
    ("kill analyzer", 2),
    ("freeze analyzer", 1),
    ("kill renderer", 1),
    ("kill everything", 1),
)
SETTLE_S = 120.0


@dataclass
class Round:
    """One round: its seed, its processes and what they went through."""

    seed: int
    seconds: float
    trainers: int
    chance: random.Random = field(init=False)
    folder: Path = field(init=False)
    base: Path = field(init=False)
    tally: Tally = field(init=False)
    services: dict[str, Child] = field(default_factory=dict)
    trainings: list[Trainer] = field(default_factory=list)
    frozen: list[tuple[float, Child]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    started: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.base = self.folder / "data"
        self.tally = Tally(self.folder / "tally", slots=10_000)
        os.environ["AVALIACOES_RUNTIME_DIR"] = str(self.folder / "run")
        (self.folder / "run").mkdir(mode=0o700)

    def run(self, console: Console) -> Report:
        """Faults for `seconds`, then peace, then the audit."""
        try:
            for kind in KINDS:
                self.services[kind] = Service(kind, self.base)
            end = time.monotonic() + self.seconds
            while (left := end - time.monotonic()) > 0:
                self._keep_going()
                console.print(
                    f"  {left:6.0f} s left, {self.tally.total():>10,} logged, {sum(self.faults.values())} faults",
                    end="\r",
                )
                time.sleep(self.chance.uniform(0.05, 1.2))
                self._fault(self.chance.choices([f for f, _ in FAULTS], [w for _, w in FAULTS])[0])
            return self._peace(console)
        finally:
            for child in [*self.services.values(), *self.trainings]:
                child.end()

    def _keep_going(self) -> None:
        """Thaw who has been frozen long enough, start trainings in place of those that ended, and dead services."""
        now = time.monotonic()
        for at, child in [pair for pair in self.frozen if pair[0] <= now]:
            child.thaw()
            self.frozen.remove((at, child))
        for one in [one for one in self.trainings if not one.alive()]:
            one.end()
            self.trainings.remove(one)
        while len(self.trainings) < self.trainers and self.started < 10_000:
            self.trainings.append(self._train())
        for kind in KINDS:
            if not self.services[kind].alive():
                self._restart(kind)

    def _train(self) -> Trainer:
        chance = self.chance
        slot, self.started = self.started, self.started + 1
        rate = chance.choice([50, 500, 3_000, 10_000])
        options = ["--records", str(chance.randrange(1, 20 * rate)), "--rate", str(rate)]
        options += ["--categories", str(chance.randrange(1, 6)), "--end", chance.choice(ENDS)]
        options += ["--buffer", str(chance.choice([1_000, 65_536])), "--session", f"run{slot}"]
        return Trainer(self.base, self.tally.path, slot, *options, wait=False)

    def _restart(self, kind: str, how: str = "") -> None:
        self.services[kind].end()
        if how:
            self.services[kind] = Wrapped(self.base, how, wait=False)
        else:
            self.services[kind] = Service(kind, self.base, wait=False)

    def _freeze(self, child: Child, longest: float) -> None:
        if child.alive() and all(other is not child for _, other in self.frozen):
            child.freeze()
            self.frozen.append((time.monotonic() + self.chance.uniform(0.2, longest), child))

    def _fault(self, fault: str) -> None:
        chance, services = self.chance, self.services
        trainer = chance.choice(self.trainings)
        self.faults[fault] += 1
        if fault == "tear collector":
            services["collector"].kill()
            self._restart("collector", f"torn:{chance.randrange(1, 60)}:{chance.randrange(1, 500)}")
        elif fault == "end collector":
            services["collector"].end()
        elif fault == "no collector":
            services["collector"].kill()
            time.sleep(chance.uniform(0.5, 4.0))
        elif fault == "crash trainer":
            trainer.process.send_signal(11)
        elif fault == "kill everything":
            for child in chance.sample([*services.values(), *self.trainings], len(services) + len(self.trainings)):
                child.kill()
        elif fault.startswith("freeze"):
            self._freeze(services.get(fault.split()[1], trainer), 8.0)
        else:
            for who in fault.removeprefix("kill ").split(" and "):
                services.get(who, trainer).kill()

    def _peace(self, console: Console) -> Report:
        """No more faults: trainings end as they will, services stay, and everything is to arrive."""
        console.print("  waiting for everything to arrive".ljust(70), end="\r")
        for _, child in self.frozen:
            child.thaw()
        for one in self.trainings:
            one.process.terminate()  # SIGTERM: no farewell, the flight recorder has the rest
        for kind in KINDS:
            if isinstance(self.services[kind], Wrapped) or not self.services[kind].alive():
                self._restart(kind)
        deadline = time.monotonic() + SETTLE_S
        while True:
            report = audit(self.base, self.tally)
            left = leftovers(self.base)
            bad = report.problems or report.total("lost") or report.total("doubled")
            if not (bad or left) or time.monotonic() > deadline:
                report.problems += [f"still waiting: {name}" for name in left]
                return report
            time.sleep(1.0)


def row(number: int, one: Round, report: Report) -> list[str]:
    """One line of the table."""
    figures = [f"{report.total(what):,}" for what in ("returned", "stored", "lost", "doubled")]
    return [
        str(number),
        str(one.seed),
        str(sum(one.faults.values())),
        str(one.started),
        *figures,
        str(len(report.problems)),
    ]


COLUMNS = ("round", "seed", "faults", "trainings", "logged", "stored", "lost", "doubled", "problems")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long (default 5)")
    parser.add_argument("--rounds", type=int, help="so many rounds instead")
    parser.add_argument("--round-seconds", type=float, default=45.0, help="faults per round (default 45 s)")
    parser.add_argument("--trainers", type=int, default=6, help="trainings at a time (default 6)")
    parser.add_argument("--seed", type=int, help="of the first round; the next ones count up")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 31)
    console = Console() if sys.stdout.isatty() else Console(width=130)
    console.print(f"seed {seed}: repeat with --seed {seed}")
    table = Table(*COLUMNS)
    totals: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    begin, number = time.monotonic(), 0
    while number < given.rounds if given.rounds else time.monotonic() - begin < 60 * given.minutes:
        one = Round(seed + number, given.round_seconds, given.trainers)
        number += 1
        report = one.run(console)
        faults += one.faults
        for what in ("returned", "stored", "lost", "doubled"):
            totals[what] += report.total(what)
        totals["problems"] += len(report.problems)
        cells = row(number, one, report)
        table.add_row(*cells)
        console.print(", ".join(f"{name} {cell}" for name, cell in zip(COLUMNS, cells, strict=True)))
        if report.problems:
            console.print("\n".join(report.problems[:20]), f"\nkept: {one.folder}")
        else:
            shutil.rmtree(one.folder)
    table.add_section()
    figures = [f"{totals[what]:,}" for what in ("returned", "stored", "lost", "doubled", "problems")]
    table.add_row("all", "", str(faults.total()), "", *figures)
    console.print(table)
    console.print(", ".join(f"{name} {count}" for name, count in faults.most_common()))
    return 1 if totals["lost"] or totals["doubled"] or totals["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
