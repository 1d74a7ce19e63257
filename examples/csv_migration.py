"""From CSV files to sessions, step by step: bring the old ones in, write both for a while, compare, then stop writing CSV."""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

from avaliacoes.csv_import import import_csv
from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_logger import LogReader


def main() -> None:
    parser = argparse.ArgumentParser(description="Move a training's logs from CSV to sessions.")
    parser.add_argument("--base-path", default=None, help="data folder (default: avaliacoes, or $AVALIACOES_DIR)")
    options = parser.parse_args()

    # 1. An old file becomes a session like any other (also on the command line: avaliacoes import old.csv)
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "training_old.csv"
        old.write_text("step,loss,learning_rate\n0,1.5,0.001\n1,1.25,0.001\n2,1.0,0.0005\n")
        imported = import_csv(old, options.base_path, prefix="imported")
    records = list(LogReader(options.base_path, imported).read_stream("training"))
    print(f"session {imported}: {len(records)} old rows, last loss {records[-1]['loss']}")

    # 2. Both at once for a while; a column that appears late loses nothing
    integration = create_integrated_logger(options.base_path, enable_csv_fallback=True)
    session = integration.start_session("both")
    for step in range(100):
        late: dict[str, Any] = {"explained_variance": step / 100} if step >= 50 else {}
        integration.log_training_step(loss=1 / (step + 1), lr=1e-3, **late)
    integration.end_session()

    # 3. Compare
    with (integration.base_path / f"training_{session}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = list(LogReader(options.base_path, session).read_stream("training"))
    same = all(float(row["loss"]) == record["loss"] for row, record in zip(rows, stored, strict=True))
    print(f"session {session}: {len(rows)} rows in CSV, {len(stored)} records, {'the same' if same else 'DIFFERENT'}")

    # 4. Then leave `enable_csv_fallback` out; `avaliacoes export` still makes a CSV of any session


if __name__ == "__main__":
    main()
