"""The demo's account of a session, against files made by hand."""

from __future__ import annotations

from pathlib import Path

from avaliacoes.demo.display import Entry, live_row, number
from avaliacoes.demo.sessions import Story, account, session_of
from contract.lines import encode_line

PRODUCER = "0123456789ab"


def write(folder: Path, category: str, *records: tuple[int, dict[str, object]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{category}_run_20200101_000000.jsonl"
    lines = (encode_line(PRODUCER, seq, 100.0 + seq, seq, metrics) + b"\n" for seq, metrics in records)
    path.write_bytes(b"".join(lines))
    return path


def test_a_whole_session_is_whole(tmp_path: Path) -> None:
    """Every record once, and as many as the trainer says: nothing lost, nothing doubled."""
    write(tmp_path, "training", *((seq, {"loss": 1.0}) for seq in range(5)))
    write(tmp_path, "rewards", (0, {"episode_reward": 3.0}))
    write(tmp_path, "lifecycle", (0, {"event": "start", "pid": 7}), (1, {"event": "end", "logged": 6}))
    found = account(tmp_path, "run_20200101_000000")
    assert (found.logged, found.stored, found.lost, found.doubled, found.broken) == (6, 6, 0, 0, 0)
    assert found.whole


def test_gaps_doubles_and_torn_lines_are_found(tmp_path: Path) -> None:
    """A missing sequence number is a loss, one that is there twice a double, a half line is broken."""
    path = write(tmp_path, "training", *((seq, {"loss": 1.0}) for seq in (0, 1, 1, 4)))
    path.write_bytes(path.read_bytes() + b'{"_p":"012')
    found = account(tmp_path, "run_20200101_000000")
    assert (found.logged, found.stored, found.lost, found.doubled, found.broken) == (None, 3, 2, 1, 1)
    assert not found.whole


def test_a_missing_end_is_found_by_the_trainers_own_count(tmp_path: Path) -> None:
    """Sequence numbers cannot show that the last records are missing; the trainer's count can."""
    write(tmp_path, "training", *((seq, {"loss": 1.0}) for seq in range(5)))
    write(tmp_path, "lifecycle", (0, {"event": "end", "logged": 8}))
    assert account(tmp_path, "run_20200101_000000").lost == 3


def test_a_session_is_found_by_its_process(tmp_path: Path) -> None:
    """Of several sessions with one prefix, the one that this very process began is taken."""
    write(tmp_path, "lifecycle", (0, {"event": "start", "pid": 7}))
    assert session_of(tmp_path, "run", 7, 0.0) == "run_20200101_000000"
    assert session_of(tmp_path, "run", 8, 0.0) is None


def test_a_story_grows_with_its_files(tmp_path: Path) -> None:
    """Rewards, losses and alerts are read once each, as they come; what is not there yet is a dash."""
    story = Story(tmp_path, "run_20200101_000000")
    story.read()
    assert live_row(Entry("seed1", "learns", story))[2] == "-"
    write(tmp_path, "rewards", *((seq, {"episode_reward": float(seq)}) for seq in range(30)))
    write(tmp_path, "training", (0, {"loss": float("nan")}))
    write(tmp_path, "alerts", (0, {"state": "firing", "level": "ERROR", "rule": "x"}), (1, {"state": "resolved"}))
    story.read()
    story.read()
    assert (story.episodes, story.mean_reward, story.first_mean_reward) == (30, 19.5, 9.5)
    assert story.alerts_by_level() == "1 ERROR"
    assert number(story.loss) == "nan"
