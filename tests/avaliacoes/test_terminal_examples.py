"""The examples in the docstrings of what the terminal and the server are made of."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "avaliacoes.terminal.plain",
    "avaliacoes.terminal.text",
    "avaliacoes.terminal.history",
    "avaliacoes.terminal.screen",
    "renderer.serve.access",
    "renderer.serve.checks",
    "renderer.serve.routes",
    "renderer.serve.window",
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_hold(module: str) -> None:
    """Each module has an example, and what it shows is what comes."""
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted and not found.failed
