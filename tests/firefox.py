"""A real Firefox, spoken to over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/): it needs no driver program beside it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import websocket

#: Nothing is looked up or downloaded at the start, and nothing asks to be the first page.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
}


class Firefox:
    """One headless Firefox with one tab; the names are those that Selenium's drivers bear."""

    def __init__(self, binary: str, profile: Path, seconds: float = 60) -> None:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        profile.mkdir(parents=True, exist_ok=True)
        (profile / "user.js").write_text("".join(lines))
        self._said = profile / "said.log"
        with open(self._said, "wb") as said:
            command = [binary, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._sent = 0
        try:
            address = self._address(time.monotonic() + seconds)
            # Firefox refuses whoever names an origin: that would be a page.
            self._socket = websocket.create_connection(f"{address}/session", seconds, suppress_origin=True)
            self.ask("session.new", capabilities={})
            self.tab = self.ask("browsingContext.getTree")["contexts"][0]["context"]
            self.ask("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
            self.ask("browsingContext.setViewport", context=self.tab, viewport={"width": 1400, "height": 1300})
        except BaseException:
            self._end()
            raise

    def _address(self, deadline: float) -> str:
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", self._said.read_text(errors="replace")):
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"Firefox did not listen: {self._said.read_text(errors='replace')[-2000:]}")

    def ask(self, method: str, **parameters: Any) -> Any:
        """One command and its result; what Firefox tells meanwhile is noted."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message["type"] == "event":
                self._note(message["method"], message["params"])
            elif message["id"] == self._sent:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "log.entryAdded" and event["level"] == "error":
            self.errors.append(str(event["text"]))
        elif method == "network.beforeRequestSent" and event["context"] == self.tab:
            self.asked.append(str(event["request"]["url"]))

    def before(self, code: str) -> None:
        """Run a script before any script of every page that is opened from now on."""
        self.ask("script.addPreloadScript", functionDeclaration=f"() => {{ {code} }}")

    def get(self, url: str) -> None:
        self.ask("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def execute_script(self, code: str) -> Any:
        """What a script returns, as JSON can say it."""
        function = f"() => {{ const found = (() => {{ {code} }})(); return found === undefined ? 'null' : JSON.stringify(found); }}"
        found = self.ask(
            "script.callFunction",
            functionDeclaration=function,
            awaitPromise=False,
            target={"context": self.tab},
            userActivation=True,
        )
        if found["type"] == "exception":
            raise RuntimeError(f"{found['exceptionDetails']['text']} in: {code}")
        return json.loads(found["result"]["value"])

    def act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        """Real input: the actions of one `pointer` (a mouse) or `key`."""
        self.ask("input.performActions", context=self.tab, actions=[{"type": kind, "id": kind, "actions": actions}])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("browsingContext.captureScreenshot", context=self.tab)["data"]))

    def quit(self) -> None:
        try:
            self._socket.close()
        finally:
            self._end()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
