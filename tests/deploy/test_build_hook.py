"""The build hook, with a hatchling of one class: the real one lives in environments of builds alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Interface:
    """The part of hatchling's ``BuildHookInterface`` that the hook uses."""

    def __class_getitem__(cls, _: object) -> type:
        return cls

    def __init__(self, root: str) -> None:
        self.root = root
        self.warnings: list[str] = []
        self.app = SimpleNamespace(display_warning=self.warnings.append)


@pytest.fixture
def hook_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """The hook, whose compiler does nothing but write down how it was called."""
    stub = ModuleType("hatchling.builders.hooks.plugin.interface")
    stub.BuildHookInterface = Interface  # type: ignore[attr-defined]  # a module that the test makes
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.delitem(sys.modules, "deploy.build_hook", raising=False)
    module = import_module("deploy.build_hook")
    monkeypatch.delenv(module.RELEASE, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def make() -> Any:
        hook = module.KernelsBuildHook(str(ROOT))
        hook.compiled = []

        def compile_kernels(compiler: object = None, **options: Any) -> bool:
            hook.compiled.append((compiler, options))
            if "library" in options:
                name = compiler.name if compiler else "g++"  # type: ignore[attr-defined]  # a module that the test makes
                options["library"].write_bytes(f"kvproxy kernels {'0' * 64} {name}\0".encode())
            return True

        hook._compile.compile_kernels = compile_kernels
        return hook

    return make


def build_data() -> dict[str, Any]:
    return {"artifacts": [], "force_include": {}, "pure_python": True}


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_wheel_of_this_machine_holds_the_library_of_the_tree(
    hook_of: Callable[[], Any], version: str
) -> None:
    hook, data = hook_of(), build_data()
    hook.initialize(version, data)
    assert hook.compiled == [(None, {})]
    assert data["artifacts"] == ["/kvproxy/engine/native/libkvproxy_kernels.so"]
    assert data["pure_python"] is False
    assert data["tag"].startswith("py3-none-")
    hook.finalize(version, data, "")


def test_what_cannot_be_compiled_is_left_out(hook_of: Callable[[], Any]) -> None:
    hook, data = hook_of(), build_data()

    def fails(*_: object, **__: object) -> None:
        raise hook._compile.NoCompiler("no C++ compiler")

    hook._compile.compile_kernels = fails
    hook.initialize("standard", data)
    assert data == build_data()
    assert hook.warnings == ["without the engine's own kernels: no C++ compiler"]


def test_a_release_fails_where_it_cannot_be_compiled(
    hook_of: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVPROXY_WHEEL_FOR", "x86_64")
    hook = hook_of()

    def fails(*_: object, **__: object) -> None:
        raise hook._compile.CompileError("a fault")

    hook._compile.compile_kernels = fails
    with pytest.raises(hook._compile.CompileError):
        hook.initialize("standard", build_data())


def test_a_release_is_compiled_by_zig_apart_from_the_tree(
    hook_of: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVPROXY_WHEEL_FOR", "aarch64")
    hook, data = hook_of(), build_data()
    assert hook.dependencies() == [hook._compile.ZIG]
    hook.initialize("standard", data)
    ((compiler, options),) = hook.compiled
    assert "aarch64-linux-gnu.2.17" in compiler.command
    assert options["machine"] == "aarch64"
    ((source, inside),) = data["force_include"].items()
    assert inside == "kvproxy/engine/native/libkvproxy_kernels.so"
    assert not Path(source).is_relative_to(ROOT)
    assert data["tag"] == "py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64"
    hook.finalize("standard", data, "")
    assert not Path(source).parent.exists()


def test_elsewhere_than_linux_nothing_is_compiled(
    hook_of: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    hook, data = hook_of(), build_data()
    assert hook.dependencies() == []
    hook.initialize("standard", data)
    assert (hook.compiled, data) == ([], build_data())


def test_the_machine_s_compiler_needs_no_requirement(hook_of: Callable[[], Any]) -> None:
    hook = hook_of()
    hook._compile.requirements = lambda: ["one"]
    assert hook.dependencies() == ["one"]
