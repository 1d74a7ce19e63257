"""Faults of the process rather than of the learning: hung, killed, ever slower. Real pauses, real signals.

Their lifecycle records are kept, and so are those of a healthy run that pauses, which is none of this.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import torch
from stable_baselines3 import A2C, PPO

from benchmarks.corpus_runs.outcome import Proof, Records, both, no_end, silent_for
from benchmarks.corpus_runs.rl_tasks import From, Grid, leak, learn, vec
from benchmarks.corpus_runs.scenario import Run, broken, healthy
from benchmarks.corpus_runs.torch_healthy import ACCURATE
from benchmarks.corpus_runs.torch_tasks import Batches, Fit, classify, cnn, shapes


def train(run: Run, steps: int, after: Callable[[int], None], lr: float = 1e-3) -> None:
    model, batch = cnn(), Batches(run, *shapes(run.rng, 3000))
    optimizer = torch.optim.Adam(model.parameters(), lr)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), steps, after=after, every=4)()


def slower(times: float) -> Proof:
    """`fps` of the last tenth is so many times lower than in the first third."""

    def proof(records: Records) -> tuple[bool, str]:
        values = sorted_by_step = [value for _, value in records.series("performance.fps")]
        early = sorted(sorted_by_step[: max(1, len(values) // 3)])
        late = sorted(values[-max(1, len(values) // 10) :])
        was, became = early[len(early) // 2], late[len(late) // 2]
        return was >= times * became, f"fps {was:.4g} -> {became:.4g}"

    return proof


@healthy(
    "h_pauses",
    "supervised",
    both(ACCURATE, silent_for(8)),
    "a validation of 10 s after every 100 steps",
    processes=True,
)
def pauses(run: Run) -> None:
    train(run, 800, lambda step: time.sleep(10) if step % 100 == 99 else None, lr=2e-3)


@broken(
    "b_stalled_torch", "supervised", silent_for(120), "hangs for 150 s after step 300", "stalled", 300, processes=True
)
def stalled_torch(run: Run) -> None:
    """A loader waits for a dead network share: no record for minutes after one every few milliseconds; then it goes on."""
    train(run, 420, lambda step: time.sleep(150) if step == 300 else None)


@broken(
    "b_stalled_ppo",
    "PPO",
    silent_for(100),
    "an environment hangs for 120 s at 20,000",
    "stalled",
    19_000,
    processes=True,
)
def stalled_ppo(run: Run) -> None:
    """A simulator blocks in one step: records stop and the process lives; then it goes on."""
    hang = lambda since: time.sleep(120) if since == 0 else None  # noqa: E731
    learn(
        run,
        PPO(
            "MlpPolicy",
            vec(run, lambda: From(Grid(), 20_000, each=hang)),
            n_steps=512,
            batch_size=128,
            learning_rate=1e-3,
            seed=run.seed,
        ),
        26_000,
    )


def _hang_and_die(step: int) -> None:
    if step == 350:
        time.sleep(100)
        os.kill(os.getpid(), signal.SIGKILL)


@broken(
    "b_hung_then_killed",
    "supervised",
    no_end(),
    "hangs after step 350, killed 100 s later",
    "stalled crashed",
    0,
    processes=True,
)
def hung_then_killed(run: Run) -> None:
    """A deadlock that somebody ends with SIGKILL: heartbeats without records, then neither."""
    train(run, 1000, _hang_and_die)


@broken("b_killed_torch", "supervised", no_end(), "SIGKILL after step 420", "crashed", 0, processes=True)
def killed(run: Run) -> None:
    """The kernel kills for memory: the last record is an ordinary one, and no end is ever written."""
    train(run, 1000, lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == 420 else None)


@broken(
    "b_segfault_a2c", "A2C", no_end(), "a segmentation fault in the environment at 24,000", "crashed", 0, processes=True
)
def segfault(run: Run) -> None:
    """A native simulator crashes: no Python code runs after that."""
    fault = lambda _: os.kill(os.getpid(), signal.SIGSEGV)  # noqa: E731
    learn(
        run,
        A2C("MlpPolicy", vec(run, lambda: From(Grid(), 24_000 // 4, each=fault), 4), learning_rate=2e-3, seed=run.seed),
        60_000,
    )


@broken(
    "b_exception_torch", "supervised", no_end(), "an uncaught exception after step 260", "crashed", 0, processes=True
)
def exception(run: Run) -> None:
    """A defective file in the data: the script ends by an exception, and its session's last record says so."""

    def after(step: int) -> None:
        if step == 260:
            raise OSError("truncated image file")

    train(run, 900, after)


@broken(
    "b_slow_torch", "supervised", slower(3), "each step takes longer from step 600", "slowdown", 600, processes=True
)
def slow_torch(run: Run) -> None:
    """A list of tensors that is searched at each step and never emptied: the rate falls steadily, the learning is fine."""
    grow = leak(0.15)
    marks = [time.monotonic()]

    def after(step: int) -> None:
        if step >= 600:
            grow(step - 600)
        if step % 20 == 19:
            now = time.monotonic()
            run.log.log_performance_metrics(step=step, fps=20 / (now - marks[0]))
            marks[0] = now

    train(run, 1500, after)


@broken(
    "b_slow_ppo", "PPO", slower(3), "each environment step takes longer from 8,000", "slowdown", 8_000, processes=True
)
def slow_ppo(run: Run) -> None:
    """A simulator that keeps every frame: steps per second fall from thousands to hundreds while the agent learns."""
    env = vec(run, lambda: From(Grid(), 8_000, each=leak(0.004)))
    learn(
        run, PPO("MlpPolicy", env, n_steps=256, batch_size=128, n_epochs=4, learning_rate=1e-3, seed=run.seed), 15_000
    )
