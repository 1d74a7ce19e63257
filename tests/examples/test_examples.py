"""Every example runs as it stands, shortened by its own arguments, and type-checks as a user's code would."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from avaliacoes.real_time_logger import LogReader

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(place: Path, name: str, *arguments: str) -> str:
    """Run an example with `place` as its data folder; what it printed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments, "--base-path", str(place)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count(reader: LogReader, category: str) -> int:
    return sum(1 for _ in reader.read_stream(category))


def test_quick_start(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest example stores a thousand updates and says how many records are on disk."""
    monkeypatch.setenv("AVALIACOES_DIR", str(place))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quick_start.py")], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("2050 records are in ")
    assert count(LogReader(place), "training") == 1000


def test_complete_training(place: Path) -> None:
    """Integration, monitor, statistics and report in one script: all records stored, page and report written."""
    said = run(place, "complete_training.py", "--steps", "200", "--pause", "0.005")
    reader = LogReader(place)
    assert (count(reader, "training"), count(reader, "gradients"), count(reader, "rewards")) == (200, 200, 10)
    assert "410 records logged, 410 on disk, 0 lost" in said
    assert Path(said.rsplit("report: ", 1)[1].strip()).is_file()
    assert (place / f"dashboard_{reader.session}.html").is_file()
    losses = [record["loss"] for record in reader.read_stream("training")]
    assert sum(losses[-20:]) < sum(losses[:20])


def test_csv_migration(place: Path) -> None:
    """Old rows become a session, and what is written both ways is the same."""
    said = run(place, "csv_migration.py")
    assert "3 old rows, last loss 1.0" in said
    assert "100 rows in CSV, 100 records, the same" in said


def test_cartpole_learns_and_logs(place: Path) -> None:
    """The policy gradient balances the pole longer and longer, its logged gradients stay small, and every record arrives."""
    said = run(place, "cartpole_reinforce.py", "--rate", "0", "--seconds", "6", "--seed", "1")
    reader = LogReader(place)
    rewards = [record["episode_reward"] for record in reader.read_stream("rewards")]
    assert sum(rewards[-20:]) / 20 > 4 * sum(rewards[:20]) / 20
    norms = [record["grad_norm"] for record in reader.read_stream("gradients")]
    assert max(norms) < 10
    logged = sum(count(reader, c) for c in ("training", "gradients", "rewards", "performance", "convergence"))
    assert f"{logged} records logged, {logged} on disk" in said


def test_cartpole_sabotaged_explodes(place: Path) -> None:
    """With a learning rate ten thousand times too high the gradients explode and the pole keeps falling at once."""
    run(place, "cartpole_reinforce.py", "--rate", "0", "--seconds", "2", "--seed", "2", "--learning-rate", "10")
    reader = LogReader(place)
    assert max(record["grad_norm"] for record in reader.read_stream("gradients")) > 100
    rewards = [record["episode_reward"] for record in reader.read_stream("rewards")]
    assert sum(rewards[-100:]) / 100 < 30


def test_cartpole_gradients_are_right() -> None:
    """The gradients worked out by hand agree with differences of the network's output."""
    specification = importlib.util.spec_from_file_location("cartpole", EXAMPLES / "cartpole_reinforce.py")
    assert specification and specification.loader
    cartpole = importlib.util.module_from_spec(specification)
    sys.modules["cartpole"] = cartpole  # dataclasses look their module up
    specification.loader.exec_module(cartpole)
    np = cartpole.np
    rng = np.random.default_rng(0)
    network = cartpole.Network(rng, outputs=2, hidden=5)
    network.weights[2] = rng.normal(size=(5, 2))
    states, direction = rng.normal(size=(7, 4)), rng.normal(size=(7, 2))
    _, hidden = network.forward(states)
    for weight, gradient in zip(network.weights, network.gradients(states, hidden, direction), strict=True):
        for index in list(np.ndindex(weight.shape))[:6]:
            kept = weight[index]
            weight[index] = kept + 1e-6
            up = (network.forward(states)[0] * direction).sum()
            weight[index] = kept - 1e-6
            down = (network.forward(states)[0] * direction).sum()
            weight[index] = kept
            assert gradient[index] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.torch
def test_sb3_ppo(place: Path) -> None:
    """A real PPO logs training metrics, gradients and episodes through the callback."""
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 and torch are not installed")
    run(place, "sb3_ppo.py", "--timesteps", "4096")
    reader = LogReader(place)
    assert count(reader, "training") > 0
    assert count(reader, "gradients") > 0
    assert count(reader, "rewards") > 20


def test_examples_type_check() -> None:
    """mypy --strict accepts the examples as code of a user of the installed package."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "examples", "run.py"],
        cwd=EXAMPLES.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
