"""Compiles the log call (`producer/_quick.c`) while a wheel is built; without a C compiler the package is the same, in Python alone."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Set to 1 where the wheel must be one for every machine (`py3-none-any`).
ENV_PURE = "AVALIACOES_PURE"
SOURCE = Path("producer", "_quick.c")


class QuickCall(BuildHookInterface):
    """Puts the library beside its source for an editable install, into the wheel otherwise."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        library = SOURCE.with_name("_quick" + sysconfig.get_config_var("EXT_SUFFIX"))
        if version == "editable":
            (root / library).unlink(missing_ok=True)
        if os.environ.get(ENV_PURE, "") not in ("", "0") or sys.implementation.name != "cpython":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="avaliacoes-build-")
        try:
            made = build(root / SOURCE, Path(self._folder.name))
        except Exception as error:  # no compiler, no Python.h: setuptools has many kinds
            self.app.display_warning(f"the log call is not compiled, so it takes its way through Python: {error}")
            return
        if version == "editable":
            (root / library).write_bytes(made.read_bytes())
        else:
            build_data["force_include"][str(made)] = library.as_posix()
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def build(source: Path, folder: Path) -> Path:
    """The compiled module, in `folder`."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    command = build_ext(Distribution({"ext_modules": [Extension("_quick", [str(source)], extra_compile_args=["-O2"])]}))
    command.build_lib, command.build_temp = str(folder), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    (made,) = folder.glob("_quick*")
    return made
