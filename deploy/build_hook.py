"""Hatchling's build hook: compiles the engine's kernels into wheels and editable installs. Named in pyproject.toml.

Without a compiler on the machine, the ``ziglang`` wheel is asked for as a requirement of the build. Where neither is to
be had, the package installs all the same: the engine then computes by torch, and `kvproxy doctor` says what that costs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

RELEASE = "KVPROXY_WHEEL_FOR"
"""Environment variable: the processor of a wheel for every Linux, ``x86_64`` or ``aarch64``, compiled by ziglang. With
it the build fails where the kernels cannot be compiled."""


class KernelsBuildHook(BuildHookInterface[Any]):
    """Adds ``libkvproxy_kernels.so`` to a wheel, and the wheel's tag."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        native = Path(self.root) / "kvproxy" / "engine" / "native"
        self._compile = _module(native / "compile_library.py")
        self._inside = str((native / self._compile.LIBRARY.name).relative_to(self.root))
        self._release = os.environ.get(RELEASE, "")
        self._made: list[Path] = []

    def dependencies(self) -> list[str]:
        """Return the requirement of a compiler where the machine has none."""
        if sys.platform != "linux":
            return []
        if self._release:
            return [self._compile.ZIG]
        return self._compile.requirements()  # type: ignore[no-any-return]  # a module that was loaded by its path

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and describe the wheel. ``version``: ``standard`` or ``editable``."""
        if sys.platform != "linux":
            return
        library = self._compile.LIBRARY
        try:
            if self._release:
                # Apart from the tree's own, which is for this machine.
                folder = Path(tempfile.mkdtemp())
                self._made.append(library := folder / library.name)
                zig = self._compile.zig_compiler(self._release)
                self._compile.compile_kernels(zig, library=library, machine=self._release)
                build_data["force_include"][str(library)] = self._inside
            else:
                self._compile.compile_kernels()
                build_data["artifacts"].append(f"/{self._inside}")  # although git ignores it
        except self._compile.CompileError as e:
            if self._release:
                raise
            self.app.display_warning(f"without the engine's own kernels: {e}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._compile.platform_tag(library)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel alone."""
        for library in self._made:
            library.unlink(missing_ok=True)
            library.parent.rmdir()


def _module(path: Path) -> Any:
    """Import a file of the package, which is not installed yet."""
    spec = spec_from_file_location(f"kvproxy_build_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
