"""What doctor says of the engine's own kernels."""

from __future__ import annotations

import ctypes

import pytest

from kvproxy.cli.kernel_findings import are_usable, kernels_finding, read_kernels
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
