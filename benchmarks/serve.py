"""The server: one poll, requests per second and twenty tabs, beside a bare server that reads and sends the same file.

The bare one is the same HTTP library without any check: no host, origin, name or token is looked at, links are followed, no header is
added. What differs is what our checks cost. Every client keeps its connection, as browsers do.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.ground import Ground, Service, cpu_seconds
from benchmarks.harness import Child, Plan, Row, interleaved, percentile
from benchmarks.harness import serve as answer
from contract import places

SESSION = "run_20250101_000000"
LIVE = f"/.avaliacoes/live/{SESSION}"
#: Sizes as the renderer writes them for four runs of twenty series: what a tab asks for each second.
MANIFEST = (f"{LIVE}/manifest.js", 2_000)
SEGMENT = (f"{LIVE}/segment-7.js?g=a1b2c3", 15_000)
BASE = (f"{LIVE}/base-1.js?g=a1b2c3", 427_000)
_TABS = 20


def measure(plan: Plan) -> list[Row]:
    count = plan.pick(300, 1500)
    with Ground() as ground:
        base = ground.base
        places.prepare_base(base)
        for path, size in (MANIFEST, SEGMENT, BASE):
            file = base / path[1:].partition("?")[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"avaliacoes(" + b"x" * size + b")")
        ours = ground.service("renderer.serve", "--port", "0")
        with Child("benchmarks.serve", str(base)) as bare:
            ports = {"ours": int(ours.ready_line.rstrip("/\n").rpartition(":")[2]), "bare": int(bare.ask("port"))}

            pids = {"ours": ours.pid, "bare": bare.pid}

            def run(name: str) -> dict[str, float]:
                found = {}
                for label, (path, _) in (("manifest", MANIFEST), ("segment", SEGMENT), ("base", BASE)):
                    times = Client(ports[name]).polls(path, count if label != "base" else count // 5)
                    found[f"{name} {label}"] = 1000 * percentile(times, 0.5)
                before = cpu_seconds(pids[name])
                seconds = plan.pick(0.5, 2.0)
                found[f"{name} rate"] = _rate(ports[name], seconds)
                found[f"{name} cpu"] = 1e6 * (cpu_seconds(pids[name]) - before) / (seconds * found[f"{name} rate"])
                return found

            samples = interleaved({name: lambda name=name: run(name) for name in ports}, plan.pick(3, 7))  # type: ignore[misc]
        tabs = _tabs(ours, ports["ours"], plan.pick(4.0, 15.0))
    rows = []
    for label, (_, size) in (("manifest", MANIFEST), ("segment", SEGMENT), ("base", BASE)):
        mine, other = samples.median(f"ours {label}"), samples.median(f"bare {label}")
        ratio = samples.ratio(f"ours {label}", f"bare {label}")
        rows.append(
            Row(f"served: a poll of {size / 1000:,.0f} KB", f"{mine:.2f} ms", f"bare server {other:.2f} ms", str(ratio))
        )
    rate = samples.ratio("ours rate", "bare rate")
    mine, other = samples.median("ours rate"), samples.median("bare rate")
    rows.append(Row("served: requests/s, 4 connections", f"{mine:,.0f}/s", f"bare server {other:,.0f}/s", str(rate)))
    cpu = samples.ratio("ours cpu", "bare cpu")
    mine, other = samples.median("ours cpu"), samples.median("bare cpu")
    rows.append(
        Row(
            "served: CPU of the server a request",
            f"{mine:.0f} us",
            f"bare server {other:.0f} us",
            str(cpu),
            "<= 2x",
            cpu.value <= 2,
        )
    )
    rows.append(tabs)
    return rows


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> int:
        """Bytes of the answer's body."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"{path}: {head[:60]!r}")
        size = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        got = len(body)
        while got < size:
            got += len(self._receive())
        return size

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def polls(self, path: str, count: int) -> list[float]:
        """Seconds that each of `count` requests took; closes the connection."""
        found = []
        for _ in range(count):
            begin = time.perf_counter()
            self.get(path)
            found.append(time.perf_counter() - begin)
        self._socket.close()
        return found


def _rate(port: int, seconds: float) -> float:
    """Requests for the segment per second, over four connections at once."""
    done = [0] * 4
    stop = time.perf_counter() + seconds

    def loop(place: int) -> None:
        client = Client(port)
        while time.perf_counter() < stop:
            client.get(SEGMENT[0])
            done[place] += 1

    threads = [threading.Thread(target=loop, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds


def _tabs(server: Service, port: int, seconds: float) -> Row:
    """Twenty tabs, each of which asks for manifest and segment every second."""
    times: list[float] = []

    def tab(place: int) -> None:
        client = Client(port)
        time.sleep(place / _TABS)
        while time.perf_counter() < stop:
            begin = time.perf_counter()
            client.get(MANIFEST[0])
            client.get(SEGMENT[0])
            times.append(time.perf_counter() - begin)
            time.sleep(max(0.0, 1.0 - (time.perf_counter() - begin)))

    before, began = cpu_seconds(server.pid), time.perf_counter()
    stop = began + seconds
    threads = [threading.Thread(target=tab, args=(place,)) for place in range(_TABS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = (cpu_seconds(server.pid) - before) / (time.perf_counter() - began)
    middle, worst = (1000 * percentile(times, part) for part in (0.5, 0.99))
    return Row(
        f"served: {_TABS} tabs, a refresh each second",
        f"{middle:.1f} ms, p99 {worst:.1f} ms",
        f"{100 * share:.1f} % of a core for all",
    )


def _bare(base: Path) -> int:
    """Serve `base` without a check, in a thread; returns the port."""
    import uvicorn

    from renderer.serve.server import listen

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        with open(base / scope["path"][1:], "rb") as file:
            body = file.read()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"text/javascript")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_level="error", access_log=False
    )
    threading.Thread(target=uvicorn.Server(config).run, args=([listener],), daemon=True).start()
    return int(listener.getsockname()[1])


if __name__ == "__main__":
    found = _bare(Path(sys.argv[1]))
    answer({"port": lambda: found})
    os._exit(0)
