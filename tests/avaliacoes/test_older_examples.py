"""Every Python block of the older system's documentation, unchanged, as a script of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "older_system.pt.md"
_BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

#: Imports and objects that a block takes for granted because an earlier one made them.
IMPORTS = """\
import os, shutil, time
import numpy as np
from avaliacoes.real_time_logger import create_real_time_logger, RealTimeLogger, LogReader
from avaliacoes.real_time_monitor import create_monitor, RealTimeMonitor
from avaliacoes.logger_integration import create_integrated_logger, TrainingLoggerIntegration
class Parameter:
    def __init__(self, grad): self.grad = grad
class Model:
    def named_parameters(self): return [("actor.weight", Parameter(np.ones(3))), ("critic.weight", Parameter(np.zeros(2)))]
class Theirs:
    def method(self, **values): return values
"""
OBJECTS = {
    "integration": "create_integrated_logger()",
    "meu_modelo": "Model()",
    "policy_network": "Model()",
    "session_id": "None",
    "base_path": "'outra_pasta'",
    "buffer_size": "2000",
    "flush_interval": "0.5",
    "log_path": "'outra_pasta'",
    "refresh_interval": "1.0",
    "history_window": "1000",
    "enable_csv_fallback": "True",
    "gradient_monitoring": "True",
    "prefix": "'meu'",
    "model": "Model()",
    "logger_instance": "Theirs()",
    "method_name": "'method'",
    "step": "7",
    "metrics": "{'loss': 0.5}",
    "kwargs": "{'loss': 0.5, 'lr': 2e-4}",
    "gradient_data": "{'grad_norm': 1.0}",
    "manual_data": "{'grad_norm': 1.0}",
    "convergence_data": "{'plateau': 0.1}",
    "reward_data": "{'episode_reward': 1.0}",
    "episode_data": "{'episode_reward': 1.0}",
    "performance_data": "{'fps': 100.0}",
    "env": "__import__('gymnasium').make('CartPole-v1')",
}
NUMBERS = [
    "loss_value",
    "policy_loss",
    "value_loss",
    "entropy_loss",
    "lr",
    "clipfrac",
    "explained_var",
    "norm_value",
    "zeros_ratio",
    "update_ratio",
    "total_reward",
    "steps",
    "win_percentage",
    "max_drawdown",
    "num_trades",
]


def _blocks() -> list[tuple[str, str]]:
    if not DOCUMENT.is_file():
        return []
    text = DOCUMENT.read_text("utf-8")
    found = []
    for number, block in enumerate(_BLOCK.finditer(text), 1):
        heading = _HEADING.findall(text[: block.start()])[-1]
        found.append((f"{number}-{re.sub(r'[^A-Za-z]+', '_', heading).strip('_')}", block.group(1)))
    return found


BLOCKS = _blocks()


def _open_names(code: str) -> list[str]:
    """Names that running the block would look up and that it does not make itself."""
    import symtable

    def visit(table: symtable.SymbolTable) -> set[str]:
        found = set()
        for symbol in table.get_symbols():
            if table.get_type() == "module" or symbol.is_global():
                assigned_first = re.search(rf"^\s*{re.escape(symbol.get_name())} = ", code, re.MULTILINE)
                if symbol.is_referenced() and not symbol.is_imported() and not assigned_first:
                    found.add(symbol.get_name())
        for child in table.get_children():
            found |= visit(child)
        return found

    return sorted(visit(symtable.symtable(code, "block", "exec")))


@pytest.mark.skipif(not BLOCKS, reason="the older system's documentation is not beside this clone")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param(name, code, id=name, marks=[pytest.mark.torch] if "stable_baselines3" in code else [])
        for name, code in BLOCKS
    ],
)
@pytest.mark.timeout(900)
def test_block_runs_unchanged(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    """The block runs to its end in a fresh process and folder, with no name given but those it leaves open."""
    if "stable_baselines3" in code:
        pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVALIACOES_DIR", str(place))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "logs_csv_antigos").mkdir()
    opened = _open_names(code)
    given = [f"{key} = {value}" for key, value in OBJECTS.items() if key in opened]
    given += [f"{key} = 0.25" for key in NUMBERS if key in opened]
    end = "\nfor _made in ('monitor', 'integration', 'logger'):\n    _made = globals().get(_made)\n"
    end += (
        "    for _end in ('stop_monitoring', 'end_session', 'close'):\n        getattr(_made, _end, lambda: None)()\n"
    )
    script = tmp_path / "block.py"
    script.write_text(IMPORTS + "\n".join(given) + "\n" + code + end, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=880, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    if "log_training_step(" in code:
        assert any(any(folder.glob("training_*.jsonl")) for folder in (place, tmp_path / "outra_pasta"))
    if "exemplo_treinamento" in code:
        (session,) = re.findall(r"dashboard_(\w+)\.html", done.stdout)
        assert (place / f"dashboard_{session}.html").is_file() and list(place.glob("report_*.html"))
        assert len((place / f"training_{session}.jsonl").read_text().splitlines()) == 1000


@pytest.mark.skipif(not BLOCKS, reason="the older system's documentation is not beside this clone")
def test_all_blocks_were_found() -> None:
    """The documentation has seventeen Python blocks or so: an extraction that misses them would prove nothing."""
    assert len(BLOCKS) >= 15
