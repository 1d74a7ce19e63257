"""`avaliacoes demo`: three services, three live trainings for a minute, their dashboards, reports and an honest account.

Exit code 0 means that nothing was lost and that everything ran as it should. A training that has not learned (in a few
seconds none can) is said, not failed; a sabotaged one that raises no ERROR in 15 s is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from avaliacoes.demo import display
from avaliacoes.demo.course import KINDS, Demo, learner
from avaliacoes.demo.sessions import Account, Story, account
from contract import places, service

HELP: Final = "three live trainings for a minute: dashboards, alerts, reports, and a count of what is on disk"
EXIT_INTERRUPTED: Final = 130
#: Below this many seconds nothing can be asked of a training, only of the records.
_JUDGED_FROM_S: Final = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Starts collector, analyzer and renderer, and three trainers on CartPole: two learn, one is sabotaged with a learning "
        "rate far too high. Says which pages to open, writes a report per session, and counts what is on disk."
    )
    parser.add_argument("--seconds", type=_positive, default=60.0, help="how long to train (default: 60)")
    parser.add_argument("--base-path", default="demo", help="data folder (default: demo, in the working directory)")
    browser = parser.add_mutually_exclusive_group()
    browser.add_argument("--open", action="store_true", help="open the dashboards in the browser")
    browser.add_argument("--no-browser", dest="open", action="store_false", help="only name them (the default)")
    parser.add_argument("--json", action="store_true", help="the closing account as JSON on stdout")


def _positive(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"expected 1 to 86400 seconds, got {text}")
    return value


def run(args: argparse.Namespace) -> int:
    base = places.prepare_base(places.base_path(args.base_path))
    script = learner()
    for kind in KINDS:
        info = service.find(base, kind)
        if info and not info.get("auto"):
            raise service.AlreadyRunning(
                f"a {kind} already runs on {base} (process {info['pid']}) and the demo wants services of its own; "
                "stop that one, or give another folder with --base-path"
            )
    console = Console(stderr=True)
    with service.stopping_on_signals() as stop:
        before = signal.signal(signal.SIGHUP, lambda *_: stop.set())
        shown = display.Display(args.seconds, console)
        demo = Demo(base, args.seconds, args.open, stop, shown)
        try:
            shown.say(f"data folder {base}; the learner is {script}")
            if demo.start_services():
                demo.start_trainers()
                demo.watch()
        finally:
            demo.end()
            shown.close()
            signal.signal(signal.SIGHUP, before)
        return conclude(demo, as_json=args.json, interrupted=stop.is_set())


def conclude(demo: Demo, as_json: bool, interrupted: bool) -> int:
    """Reports, the closing account, the verdict in words, and the exit code."""
    say = demo.shown.say
    accounts: list[tuple[display.Entry, Account]] = []
    for entry in demo.entries:
        if entry.story is None:
            demo.fail(f"training {entry.name} never began a session")
            continue
        entry.story.read()
        accounts.append((entry, account(demo.base, entry.story.session)))
        write_report(demo, entry.story)
    verdicts = [judge(demo, entry, found) for entry, found in accounts]
    if as_json:
        rows = [
            as_dict(entry.story, found, verdict)
            for (entry, found), verdict in zip(accounts, verdicts, strict=True)
            if entry.story
        ]
        print_json({"base_path": str(demo.base), "sessions": rows, "failures": demo.failures})
    elif accounts:
        out = Console(width=None if sys.stdout.isatty() else 140)
        rows_ = [display.closing_row(found, entry.story) for entry, found in accounts if entry.story]
        out.print(display.closing_table(rows_))
    for verdict in verdicts:
        say(verdict)
    for failure in demo.failures:
        say(f"FAILED: {failure}")
    if interrupted:
        say("stopped before its end; nothing is left running")
        return EXIT_INTERRUPTED
    if not demo.failures and accounts:
        say(f"nothing lost, nothing left running; everything is in {demo.base}")
    return service.EXIT_FAILED if demo.failures else service.EXIT_OK


def judge(demo: Demo, entry: display.Entry, found: Account) -> str:
    """One sentence on what a training did, by its own numbers; what must not be is noted as a failure."""
    story = entry.story
    if story is None:
        return f"{entry.name}: no session"
    if not found.whole:
        demo.failures.append(
            f"{found.session}: {found.lost} lost, {found.doubled} doubled, {found.broken} broken lines"
        )
    first, last, best = story.first_mean_reward, story.mean_reward, story.best_mean
    if first is None or last is None or best is None:
        return f"{entry.name}: too few episodes to say anything"
    rewards = f"mean reward {first:.0f} at first, {last:.0f} at the end, {best:.0f} at its best"
    raised = ", ".join(f"{rule} ({count})" for rule, count in sorted(story.rules.items())) or "none"
    if entry.name != "sabotaged":
        learned = (
            "learned" if last >= 3 * first else "has not learned yet" if best < 3 * first else "learned, then fell back"
        )
        return f"{entry.name} {learned}: {rewards}; alerts: {raised}"
    if not story.levels["ERROR"] and demo.seconds >= _JUDGED_FROM_S and not demo.stop.is_set():
        demo.failures.append("the sabotaged training raised no ERROR alert")
    return f"{entry.name}, as it should, does not learn: {rewards}; alerts: {raised}"


def as_dict(story: Story, found: Account, verdict: str) -> dict[str, Any]:
    return {
        "session": found.session,
        "logged": found.logged,
        "stored": found.stored,
        "lost": found.lost,
        "doubled": found.doubled,
        "broken_lines": found.broken,
        "mean_reward": {"first": story.first_mean_reward, "last": story.mean_reward, "best": story.best_mean},
        "alerts": {"by_level": dict(story.levels), "by_rule": dict(story.rules)},
        "dashboard": str(story.dashboard),
        "verdict": verdict,
    }


def print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + os.linesep)


def write_report(demo: Demo, story: Story) -> None:
    """The session's analysis report, named on stderr."""
    argv, environment = service.command("avaliacoes", "report", story.session, "--base-path", str(demo.base))
    folder = places.socket_dir(demo.base)
    try:
        done = subprocess.run(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        demo.fail(f"no report for {story.session} within 60 s")
        return
    path = done.stdout.decode(errors="replace").strip()
    if done.returncode or not path:
        demo.fail(f"no report for {story.session}: {done.stderr.decode(errors='replace').strip()[-500:]}")
    else:
        demo.shown.say(f"report of {story.session}: {Path(path).as_uri()}")
