"""Doctor's findings on the processor and on the engine's own kernels."""

from __future__ import annotations

import ctypes

import pytest

from kvproxy.cli.kernel_findings import are_usable, isa_finding, kernels_finding, read_kernels
from kvproxy.engine.models.host import Host
from kvproxy.engine.native.kernel_library import CHOICE, Kernels, NoKernels
from kvproxy.errors import SetupError


def kernels(instructions: str, *available: str) -> Kernels:
    return Kernels(ctypes.CDLL(None), instructions, available, "0" * 64, "gcc 12.2.0", team=True)


def test_the_set_in_use() -> None:
    finding = kernels_finding(kernels("avx2", "avx2", "portable"))
    assert (finding.level, finding.what) == ("ok", "avx2, compiled by gcc 12.2.0")
    assert are_usable(kernels("avx2", "avx2"))


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (kernels("portable", "avx2", "portable"), "warn", "avx2 is faster here"),
        (kernels("portable", "portable"), "warn", "no vector instructions"),
        (NoKernels("not compiled", "install g++"), "warn", "install g++"),
        (SetupError("a wrong name"), "fail", f"unset {CHOICE}"),
    ],
)
def test_what_makes_it_slow_and_what_to_do(
    found: Kernels | NoKernels | SetupError, level: str, words: str
) -> None:
    finding = kernels_finding(found)
    assert finding.level == level
    assert finding.advice is not None and words in finding.advice


def test_absence_says_what_it_costs() -> None:
    assert "prompts take twice as long" in kernels_finding(NoKernels("not compiled", "install g++")).what


def test_a_wrong_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOICE, "sse9")
    found = read_kernels()
    assert isinstance(found, SetupError | NoKernels)
    assert not are_usable(found)


def host(*, fast_bf16: bool = True, cuda: str | None = None) -> Host:
    return Host("2.13.0", "AVX512", fast_bf16, cuda)


@pytest.mark.parametrize(
    ("machine", "dtype", "device", "torch_only", "level"),
    [
        (host(), "bfloat16", "auto", True, "ok"),
        (host(fast_bf16=False), "bfloat16", "cpu", True, "warn"),
        (host(fast_bf16=False), "bfloat16", "cpu", False, "ok"),
        (host(fast_bf16=False), "float32", "cpu", True, "ok"),
        (host(cuda="A GPU"), "bfloat16", "auto", True, "ok"),
    ],
)
def test_bf16_that_torch_emulates_is_slow(
    machine: Host, dtype: str, device: str, torch_only: bool, level: str
) -> None:
    finding = isa_finding(machine, dtype, device, torch_only=torch_only)
    assert (finding.level, bool(finding.advice)) == (level, level != "ok")
