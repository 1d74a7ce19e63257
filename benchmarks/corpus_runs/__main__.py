"""`python -m benchmarks.corpus_runs --out DIR`: make the runs, one after another, and pack them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.corpus_runs import (
    by_hand,
    process_faults,
    rl_broken,
    rl_healthy,
    torch_broken,
    torch_healthy,
    torch_oddities,
)
from benchmarks.corpus_runs.recording import label, make
from benchmarks.corpus_runs.scenario import SCENARIOS

MODULES = (torch_healthy, torch_broken, torch_oddities, rl_healthy, rl_broken, by_hand, process_faults)


def pack(out: Path, archive: Path) -> None:
    """All runs of a folder into one archive, below `corpus/`."""
    with tarfile.open(archive, "w:gz", compresslevel=9) as tar:
        for judged in sorted(out.glob("*/label.json")):
            for path in sorted(judged.parent.iterdir()):
                info = tar.gettarinfo(path, f"corpus/{judged.parent.name}/{path.name}")
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                with path.open("rb") as content:
                    tar.addfile(info, content)


def table(out: Path) -> str:
    """The runs of a folder as a Markdown table, one row per kind."""
    rows = [
        "| run | class by seed | fault, or what looks alarming | records | what became of it |",
        "|---|---|---|---|---|",
    ]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("*/label.json")):
        found = json.loads(path.read_text())
        kinds.setdefault(found["name"].rsplit("_s", 1)[0], []).append(found)
    for name, labels in kinds.items():
        classes = ", ".join(f"{found['seed']} {found['class']}" for found in labels)
        first = labels[0]
        counts = " / ".join(str(first["records"][category]) for category in ("training", "gradients", "rewards"))
        rows.append(f"| `{name}` | {classes} | {first['fault'] or first['why']} | {counts} | {first['note']} |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus_runs", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for one folder per run")
    parser.add_argument("--only", action="append", metavar="NAME", help="runs whose name begins so")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 23])
    parser.add_argument("--again", action="store_true", help="make runs anew that are there already")
    parser.add_argument("--list", action="store_true", help="only name the runs")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="then pack all runs of the folder")
    parser.add_argument("--relabel", action="store_true", help="judge the folder's runs anew by their files")
    parser.add_argument("--table", action="store_true", help="only print the folder's runs as a Markdown table")
    options = parser.parse_args()
    if options.relabel:
        for path in sorted(options.out.glob("*/label.json")):
            kept = json.loads(path.read_text())
            label(SCENARIOS[kept["name"].rsplit("_s", 1)[0]], kept["seed"], path.parent, kept["died"])
    if options.table:
        print(table(options.out))
        return 0
    names = [name for name in SCENARIOS if not options.only or name.startswith(tuple(options.only))]
    if not names:
        parser.error(f"no run of the name {options.only}; --list names them")
    if options.list:
        print("\n".join(f"{name:28} {SCENARIOS[name].fault or SCENARIOS[name].why}" for name in names))
        return 0
    os.nice(19)
    torch.set_num_threads(1)  # and no thread pool, which a fork would not survive
    for seed in options.seeds:
        for name in names:
            if (seed != options.seeds[0] and SCENARIOS[name].only_once) or (
                not options.again and (options.out / f"{name}_s{seed}" / "label.json").exists()
            ):
                continue
            begin = time.monotonic()
            made = make(SCENARIOS[name], seed, options.out)
            took = f"{time.monotonic() - begin:5.1f} s"
            print(f"{made['name']:32} {made['class']:10} {took} {made['records']} {made['note']}", flush=True)
    if options.pack is not None:
        pack(options.out, options.pack)
    return 0


if __name__ == "__main__":
    sys.exit(main())
