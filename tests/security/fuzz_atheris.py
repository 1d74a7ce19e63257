"""Coverage-guided fuzzing of the decoders: `pip install atheris`, then

    python tests/security/fuzz_atheris.py -runs=200000 -max_len=4096

From frames to lines as the collector goes: whatever comes, it is refused with a reason or becomes valid lines. Ends with an
error and the input that caused it otherwise. No part of the test run, since atheris builds for few platforms.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris  # type: ignore[import-not-found, unused-ignore]

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
with atheris.instrument_imports(include=["contract", "collector"]):
    from collector import encode
    from contract import lines, wire

import orjson


def one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    kind = provider.ConsumeIntInRange(0, 3)
    if kind == 0:
        try:
            lines.decode_line(data)
        except lines.LineRefused:
            pass
        return
    topic, header = b"tm1/s/training", wire.pack_header("a" * 12, "training", 0, 1 + data[0] % 4 if data else 1, 0)
    if kind == 1:
        topic = provider.ConsumeBytes(40)
    elif kind == 2:
        header = provider.ConsumeBytes(60)
    payload = provider.ConsumeBytes(sys.maxsize)
    try:
        batch, packed = wire.unpack_batch([topic, header, payload])
    except wire.FrameRefused:
        return
    records, refused = encode.unpack(batch, packed)
    if len(records) + sum(entry[1] for entry in refused) != batch.count:
        raise AssertionError("records appeared or disappeared")
    encoded = encode.encode(batch.producer, batch.first_seq, list(records), time.time())
    for line in encoded.data.splitlines():
        if next(iter(orjson.loads(line))) != "_p":
            raise AssertionError(f"a line that is no record: {line[:200]!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
