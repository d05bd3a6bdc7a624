"""Compilation of the kernels: which compiler is taken, when nothing is done, and the names of wheels.

The compilers are small programs that write what they were called with, so that no test waits for a real one.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from kvproxy.engine.native import compile_library
from kvproxy.engine.native.compile_library import (
    KERNELS,
    LIBRARY,
    ZIG,
    CompileError,
    Compiler,
    NoCompiler,
    built_from,
    compile_kernels,
    find_compiler,
    platform_tag,
    requirements,
    source_digest,
    zig_compiler,
)

ROOT = Path(__file__).parents[3]

_PRETENDER = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *{unknown}*) exit 1;; esac
for one; do
  case $one in -DKVP_SOURCE_DIGEST=*) digest=${{one#*=}};; -DKVP_BUILT_BY=*) by=${{one#*=}};; esac
  last=$one
done
case "$*" in
  *-shared*) for one; do case $one in *.o) cat "$one";; esac; done > "$last";;
  *) printf 'kvproxy kernels %s %s\\0' "$digest" "$by" | tr -d '"' > "$last";;
esac
"""


def pretender(folder: Path, *, unknown: str = "no-such-flag", name: str = "cxx") -> Compiler:
    """A compiler whose objects hold nothing but what the library says of itself."""
    program = folder / name
    program.write_text(_PRETENDER.format(log=folder / "log", unknown=unknown))
    program.chmod(0o755)
    return Compiler((str(program),), name)


def calls(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(compile_library, "find_spec", lambda _: None)


def test_what_is_current_is_not_compiled_again(tmp_path: Path) -> None:
    compiler, library = pretender(tmp_path), tmp_path / "x.so"
    assert built_from(library) is None
    assert compile_kernels(compiler, library=library, machine="x86_64")
    assert built_from(library) == (source_digest(), "cxx")
    made = len(calls(tmp_path))
    assert not compile_kernels(compiler, library=library, machine="x86_64")
    assert not compile_kernels(library=library)  # whatever compiled it
    assert len(calls(tmp_path)) == made


def test_a_part_of_the_sets_is_not_current(tmp_path: Path) -> None:
    compiler, library = pretender(tmp_path), tmp_path / "x.so"
    compile_kernels(compiler, library=library, machine="x86_64", only=["avx2"])
    assert built_from(library) == (source_digest(), "cxx +avx2")
    assert compile_kernels(compiler, library=library, machine="x86_64")


def test_other_sources_have_another_digest(tmp_path: Path) -> None:
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy)
    assert source_digest(copy) == source_digest()
    (copy / "notes.txt").write_text("no source")
    assert source_digest(copy) == source_digest()
    (copy / "kvproxy.h").write_text("changed")
    assert source_digest(copy) != source_digest()


def units(folder: Path) -> dict[str, str]:
    """The units that were compiled, each with its command line; probes of the compiler are left out."""
    found = (re.search(r"-c (\S+)/(\w+)\.cpp", call) for call in calls(folder))
    return {m[2]: m.string for m in found if m and m[1].startswith(str(KERNELS))}


@pytest.mark.parametrize(
    ("machine", "present", "absent"),
    [
        ("x86_64", {"portable", "avx2", "avx512", "avx512bf16", "amx"}, {"neon", "neonbf16"}),
        ("aarch64", {"portable", "neon", "neonbf16"}, {"avx2", "avx512", "amx"}),
        ("riscv64", {"portable", "library", "choose", "team"}, {"avx2", "neon"}),
    ],
)
def test_each_processor_has_its_units(
    tmp_path: Path, machine: str, present: set[str], absent: set[str]
) -> None:
    compile_kernels(pretender(tmp_path), library=tmp_path / "x.so", machine=machine)
    made = units(tmp_path).keys()
    assert present <= made and not absent & made


def test_only_the_units_of_a_set_have_its_flags(tmp_path: Path) -> None:
    compile_kernels(pretender(tmp_path), library=tmp_path / "x.so", machine="x86_64")
    flagged = {name for name, call in units(tmp_path).items() if re.search(r" -m(avx|amx|fma|f16c)", call)}
    assert flagged == {"avx2", "avx512", "avx512bf16", "amx"}


def test_a_set_whose_flags_a_compiler_does_not_know_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_kernels(pretender(tmp_path, unknown="-mamx-tile"), library=tmp_path / "x.so", machine="x86_64")
    assert "amx" not in units(tmp_path) and "avx512bf16" in units(tmp_path)
    assert "amx is left out" in capsys.readouterr().err


def test_a_unit_that_does_not_compile_leaves_the_old_library(tmp_path: Path) -> None:
    library = tmp_path / "x.so"
    library.write_bytes(b"old")
    with pytest.raises(CompileError, match=r"library\.cpp"):
        compile_kernels(pretender(tmp_path, unknown="abi/library.cpp"), library=library, machine="x86_64")
    assert library.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cxx", "log", "x.so"]


def test_the_named_compiler_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender(tmp_path)
    monkeypatch.setenv("CXX", f"{tmp_path / 'cxx'} --with-a-flag")
    assert find_compiler().command == (str(tmp_path / "cxx"), "--with-a-flag")
    assert calls(tmp_path)[0].startswith("--with-a-flag ")


def test_a_compiler_that_fails_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_compiler: None
) -> None:
    monkeypatch.setenv("CXX", "/no/such/program")
    pretender(tmp_path, unknown="-c", name="c++")
    pretender(tmp_path, name="clang++")
    there = {name: str(tmp_path / name) for name in ("c++", "clang++")}
    monkeypatch.setattr("shutil.which", there.get)
    assert find_compiler().name == "clang++"


def test_without_a_compiler_the_wheel_of_one_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_compiler: None
) -> None:
    monkeypatch.setattr(compile_library, "LIBRARY", tmp_path / "x.so")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(NoCompiler, match=r"install g\+\+ or clang\+\+, or `pip install ziglang`"):
        find_compiler()
    assert requirements() == [ZIG]
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    assert requirements() == []


def test_what_is_current_needs_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_compiler: None
) -> None:
    monkeypatch.setattr(compile_library, "LIBRARY", tmp_path / "x.so")
    compile_kernels(pretender(tmp_path), library=tmp_path / "x.so", machine="x86_64")
    assert requirements() == []
    assert not compile_kernels(library=tmp_path / "x.so")


def test_the_wheel_of_zig_is_the_pinned_one() -> None:
    assert ZIG in (ROOT / "constraints.txt").read_text().splitlines()


def test_a_wheel_is_for_any_linux_where_zig_compiled_it(tmp_path: Path) -> None:
    library = tmp_path / "x.so"
    zig = zig_compiler("aarch64")
    assert "aarch64-linux-gnu.2.17" in zig.command
    library.write_bytes(f"kvproxy kernels {'0' * 64} {zig.name}\0".encode())
    assert platform_tag(library) == "manylinux2014_aarch64.manylinux_2_17_aarch64"
    library.write_bytes(f"kvproxy kernels {'0' * 64} g++\0".encode())
    assert platform_tag(library).startswith("linux_")


def test_the_command_succeeds_without_a_compiler_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_compiler: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object, **__: object) -> bool:
        raise NoCompiler("no C++ compiler")

    monkeypatch.setattr(compile_library, "compile_kernels", nothing)
    monkeypatch.setattr("sys.argv", ["compile_library"])
    assert compile_library.main() == 1
    monkeypatch.setattr("sys.argv", ["compile_library", "--if-possible"])
    assert compile_library.main() == 0
    assert capsys.readouterr().err == "no C++ compiler\n" * 2


@pytest.mark.skipif(not LIBRARY.exists(), reason="the kernels are not compiled here")
def test_the_library_needs_the_c_library_alone() -> None:
    """No C++ runtime: the wheel must not depend on the one that a torch brings."""
    needed = set(re.findall(rb"(lib[\w+-]+\.so(?:\.\d+)*)\0", LIBRARY.read_bytes()))
    assert needed <= {b"libc.so.6", b"libm.so.6", b"libkvproxy_kernels.so"}
