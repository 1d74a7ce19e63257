"""Other ways to keep a training's metrics, each in a process of its own; one that is not installed is said to be.

python -m benchmarks.peers                     which of them this interpreter has
python -m benchmarks.peers frozen-backend      what a wandb log call does while wandb's backend is frozen, and ours
"""

from __future__ import annotations

import csv
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.clock import time_calls
from benchmarks.harness import Child, serve
from benchmarks.workload import NAMES, steps

#: Calls per round: about 20 to 50 ms of each.
CALLS = {"csv": 5_000, "trackio": 1_000, "wandb": 300, "tensorboard": 150}
TITLES = {
    "csv": "csv.DictWriter.writerow + flush",
    "trackio": "trackio.log (offline, local)",
    "wandb": "wandb log (offline)",
    "tensorboard": "TensorBoard add_scalar, 8 of them",
}
Call = Callable[..., Any]


def child(peer: str, folder: Path, python: str) -> Child:
    """The process of one peer; `ask("open")` fails where it is not installed."""
    return Child("benchmarks.peers", "--serve", peer, str(folder), python=python, stderr=subprocess.DEVNULL)


def open_csv(folder: Path) -> tuple[Call, Call]:
    file = open(folder / "steps.csv", "w", newline="")
    writer = csv.DictWriter(file, ["step", *NAMES])
    writer.writeheader()

    def log(step: int, **metrics: Any) -> None:
        writer.writerow({"step": step, **metrics})
        file.flush()

    return log, file.close


def open_trackio(folder: Path) -> tuple[Call, Call]:
    os.environ.update(TRACKIO_DIR=str(folder), HF_HUB_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="False")
    import trackio

    trackio.init(project="speed", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return lambda step, **metrics: trackio.log(metrics, step=step), trackio.finish


def open_wandb(folder: Path) -> tuple[Call, Call]:
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DISABLE_GIT="true", WANDB_DISABLE_CODE="true")
    import wandb

    run = wandb.init(project="speed", mode="offline", dir=str(folder))
    return lambda step, **metrics: run.log(metrics, step=step), run.finish


def open_tensorboard(folder: Path) -> tuple[Call, Call]:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[assignment]
    writer = SummaryWriter(str(folder))

    def log(step: int, **metrics: Any) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


OPENERS = {"csv": open_csv, "trackio": open_trackio, "wandb": open_wandb, "tensorboard": open_tensorboard}


def serve_peer(peer: str, folder: str) -> None:
    """The child's side."""
    sets = steps()
    numbers = itertools.count(1)
    opened: list[tuple[Call, Call]] = []

    def open_peer() -> None:
        try:
            opened.append(OPENERS[peer](Path(tempfile.mkdtemp(prefix=f"{peer}-", dir=folder))))
        except ImportError as error:
            raise RuntimeError(f"not installed ({error.name})") from error

    def one_round(count: int) -> dict[str, float]:
        first = next(numbers) * 1_000_000
        return time_calls(opened[0][0], itertools.islice(itertools.cycle(sets), count), first, f"{peer} ")

    serve({"open": open_peer, "round": one_round})
    for _, close in opened:
        close()


def frozen_backend(longest_s: float = 20.0) -> None:
    """Log to wandb (offline) while its backend process is frozen, until a call blocks for `longest_s` or 20,000 are done.

    Then the same with ours: a trainer whose collector is frozen.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            log, finish = open_wandb(Path(folder))
        except ImportError:
            print("wandb: not installed")
        else:
            log(0, **steps(1)[0])
            backend = _children_of(os.getpid())
            print(f"wandb: frozen {', '.join(f'{pid} {name}' for pid, name in backend)}")
            _log_while_frozen("wandb", log, [pid for pid, _ in backend], longest_s)
            finish()
    from benchmarks.ground import Ground

    with Ground() as ground:
        collector = ground.collector()
        from avaliacoes.real_time_logger import RealTimeLogger

        with RealTimeLogger(ground.base) as logger:
            logger.log_training_step(0, **steps(1)[0])
            logger.flush(30)
            _log_while_frozen("avaliacoes", logger.log_training_step, [collector.pid], longest_s)


def _log_while_frozen(name: str, log: Call, pids: list[int], longest_s: float, calls: int = 20_000) -> None:
    done = 0
    finished = threading.Event()

    def work() -> None:
        nonlocal done
        for step, metrics in enumerate(itertools.islice(itertools.cycle(steps()), calls), 1):
            log(step, **metrics)
            done = step
        finished.set()

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        threading.Thread(target=work, daemon=True).start()
        last, moved = 0, begin
        while not finished.wait(0.05) and time.monotonic() - moved < longest_s:
            if done != last:
                last, moved = done, time.monotonic()
        if finished.is_set():
            print(f"{name}: {calls} calls in {time.monotonic() - begin:.2f} s with the backend frozen, none blocked")
        else:
            print(f"{name}: call {done + 1} has not returned for {longest_s:g} s: the training loop stands still")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    finished.wait(60)


def _children_of(pid: int) -> list[tuple[int, str]]:
    """Descendants of a process: (id, name)."""
    import psutil

    return [(found.pid, found.name()) for found in psutil.Process(pid).children(recursive=True)]


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--serve"]:
        serve_peer(*arguments[1:])
    elif arguments == ["frozen-backend"]:
        frozen_backend()
    else:
        for peer in CALLS:
            with tempfile.TemporaryDirectory() as folder, child(peer, Path(folder), sys.executable) as process:
                try:
                    process.ask("open")
                    print(f"{TITLES[peer]:40} installed")
                except RuntimeError as error:
                    print(f"{TITLES[peer]:40} {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
