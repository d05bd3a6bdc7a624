from __future__ import annotations

import subprocess
import sys

import pytest

from kvproxy.engine.forward.whole_vectors import UNIT, slack, whole

_GRAIN = 32768


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 6, 7, 16])
def test_every_threads_share_is_whole_vectors(threads: int) -> None:
    """As at::parallel_for shares elements out."""
    for numel in [1, 63, 64, 65, 16 * 100, _GRAIN - 1, _GRAIN + 1, 3 * _GRAIN - 5, 64 * 9728, 1_000_003]:
        padded = whole(numel, threads)
        shares = min(threads, -(-padded // _GRAIN))
        share = -(-padded // shares)
        assert padded % UNIT == 0 and (shares == 1 or share % UNIT == 0)
        assert numel <= padded <= numel + slack(threads)


_SCRIPT = """
import torch
from kvproxy.engine.forward.whole_vectors import silu_, slack, whole
n = 64 * 9728 - 5
for threads in (1, 3, 7):
    torch.set_num_threads(threads)
    x = torch.randn(n, generator=torch.Generator().manual_seed(1)) * 4
    flat = torch.zeros(n + slack(threads))
    flat[:n] = x
    silu_(flat, n, threads)
    shifted = torch.zeros(n + slack(threads))
    shifted[: n - 37] = x[37:]
    silu_(shifted, n - 37, threads)
    plain = torch.nn.functional.silu(x)
    print(threads, torch.equal(flat[37:n], shifted[: n - 37]), torch.allclose(flat[:n], plain, rtol=1e-6, atol=1e-7))
"""


@pytest.fixture(scope="module")
def by_threads() -> dict[int, list[str]]:
    """Return, by number of threads, if bits do not depend on their place and if they are SiLU's.

    Measured in a process of its own, since the number of threads is the process's.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return {int(line.split()[0]): line.split()[1:] for line in done.stdout.splitlines()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("threads", [1, 3, 7])
def test_an_elements_bits_do_not_depend_on_its_place(by_threads: dict[int, list[str]], threads: int) -> None:
    assert by_threads[threads] == ["True", "True"]
