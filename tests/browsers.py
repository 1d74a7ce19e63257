"""Real browsers, one for all tests of a process; where one is missing its tests are skipped, and fail where CI says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

#: Run before any script of a page: every break of its policy is noted.
WATCH = """window.violations = []; addEventListener('securitypolicyviolation', (e) => window.violations.push(
    `${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));"""


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {what}")
    pytest.skip(f"no {what}")


def _found(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Firefox."""
    binary = _found("firefox-esr", "firefox")
    if not binary:
        _missing("Firefox: install the package firefox-esr")
    if os.environ.get("CI") != "true":
        pytest.importorskip("websocket")
    from firefox import Firefox

    found = Firefox(str(binary), tmp_path_factory.mktemp("firefox"))
    try:
        found.before(WATCH)
        yield found
    finally:
        found.quit()
