"""Tasks of a page's main thread with the thread's own time of each, from Chromium's tracing.

The browser's observer of long tasks goes by the clock, so on a busy machine it counts those that only waited for a processor as well.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from typing import Any, Final

CATEGORIES: Final = ["devtools.timeline", "disabled-by-default-devtools.timeline"]


def own_times(browser: Any, seconds: float) -> list[float]:
    """Milliseconds that the busiest page's thread spent on each of its tasks in the next `seconds`."""
    import websocket  # comes with selenium

    address = browser.capabilities["goog:chromeOptions"]["debuggerAddress"]
    with urllib.request.urlopen(f"http://{address}/json/version", timeout=10) as answer:
        url = json.load(answer)["webSocketDebuggerUrl"]
    line = websocket.create_connection(url, suppress_origin=True, timeout=60)
    try:
        config = {"includedCategories": CATEGORIES, "excludedCategories": ["*"], "recordMode": "recordUntilFull"}
        line.send(json.dumps({"id": 1, "method": "Tracing.start", "params": {"transferMode": "ReportEvents", "traceConfig": config}}))  # fmt: skip
        _until(line, lambda message: message.get("id") == 1)
        time.sleep(seconds)
        line.send(json.dumps({"id": 2, "method": "Tracing.end"}))
        events: list[dict[str, Any]] = []
        for message in _until(line, lambda message: message.get("method") == "Tracing.tracingComplete"):
            if message.get("method") == "Tracing.dataCollected":
                events += message["params"]["value"]
    finally:
        line.close()
    names = {
        (event["pid"], event["tid"]): event["args"]["name"] for event in events if event.get("name") == "thread_name"
    }
    tasks = [
        (event["pid"], event["tid"], event.get("tdur", 0) / 1000) for event in events if event.get("name") == "RunTask"
    ]
    pages = Counter((pid, tid) for pid, tid, _ in tasks if names.get((pid, tid)) == "CrRendererMain")
    if not pages:
        raise RuntimeError("Chromium's trace has no task of a page")
    ((busiest, _),) = pages.most_common(1)
    return [own for pid, tid, own in tasks if (pid, tid) == busiest]


def _until(line: Any, last: Any) -> list[dict[str, Any]]:
    """Messages up to that for which `last` holds."""
    messages = []
    while True:
        messages.append(json.loads(line.recv()))
        if last(messages[-1]):
            return messages
