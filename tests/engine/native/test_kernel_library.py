"""The library of this process: its choice of instructions, its checks, and torch's team of threads."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from kvproxy.engine.native import compile_library, kernel_library, signatures
from kvproxy.engine.native.decoder_abi import DTYPES, CPool
from kvproxy.engine.native.kernel_library import CHOICE, Kernels, NoKernels, load_kernels
from kvproxy.engine.native.packed_matrix import PackedMatrix
from kvproxy.engine.native.signatures import KernelCallError, RowsOfPages, declare
from kvproxy.errors import SetupError

LAYERS, HEADS, DIM, PAGES, GROUP = 2, 3, 48, 7, 2


@pytest.fixture
def kernels() -> Kernels:
    found = load_kernels()
    if isinstance(found, NoKernels):
        pytest.skip(found.reason)
    return found


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading as in a new process, before and afterwards."""
    kernel_library._open.cache_clear()
    yield
    monkeypatch.undo()
    kernel_library._open.cache_clear()


def test_the_best_set_is_in_use_and_torch_lends_its_threads(kernels: Kernels) -> None:
    assert kernels.available[-1] == "portable"
    assert kernels.instructions in kernels.available
    assert kernels.team
    assert len(kernels.digest) == 64
    assert load_kernels() == kernels


def test_importing_loads_no_library_and_no_torch() -> None:
    code = (
        "import kvproxy.engine.native.kernel_library as k, sys\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'libkvproxy' not in open('/proc/self/maps').read()\n"
        "found = k.load_kernels()\n"
        "assert isinstance(found, k.NoKernels) or not found.team\n"
        "import torch\n"
        "found = k.load_kernels()\n"
        "assert isinstance(found, k.NoKernels) or found.team\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def in_process(choice: str) -> str:
    code = (
        "from kvproxy.engine.native.kernel_library import load_kernels\n"
        "from kvproxy.errors import SetupError\n"
        "try: print(load_kernels().instructions)\n"
        "except SetupError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={CHOICE: choice}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_environment_names_a_set(kernels: Kernels) -> None:
    assert in_process("portable") == "portable"
    assert in_process("") == kernels.available[0]


def test_a_set_that_is_not_here_is_refused_with_those_that_are(kernels: Kernels) -> None:
    assert in_process("sse9") == (
        f"{CHOICE}=sse9: no instruction set is called sse9; this machine can use {', '.join(kernels.available)}"
    )
    foreign = "avx2" if "neon" in kernels.available else "neon"
    assert f"{CHOICE}={foreign}: {foreign} was not built; this machine can use" in in_process(foreign)


def test_no_library_is_no_error(tmp_path: Path) -> None:
    absent = kernel_library._open(tmp_path / "none.so")
    assert isinstance(absent, NoKernels)
    assert "not compiled" in absent.reason
    assert "python" in absent.advice and compile_library.MODULE in absent.advice


def test_another_library_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    library = tmp_path / "x.so"
    library.write_bytes(f"kvproxy kernels {'0' * 64} g++\0".encode())
    stale = kernel_library._open(library)
    assert isinstance(stale, NoKernels) and "other sources" in stale.reason
    kernel_library._open.cache_clear()
    monkeypatch.setattr(compile_library, "KERNELS", tmp_path / "installed without sources")
    broken = kernel_library._open(library)
    assert isinstance(broken, NoKernels) and "cannot be loaded" in broken.reason


def test_another_version_is_not_called(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(signatures, "ABI", 0)
    found = load_kernels()
    assert isinstance(found, NoKernels) and "another version" in found.reason


def test_a_library_that_lacks_a_function_is_found_out(kernels: Kernels) -> None:
    with pytest.raises(AttributeError, match="kvp_"):
        declare(ctypes.CDLL(None))


def test_setup_errors_come_every_time(kernels: Kernels, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setenv(CHOICE, "sse9")
    for _ in range(2):
        with pytest.raises(SetupError):
            load_kernels()


def in_each_set(kernels: Kernels, check: Callable[[], None]) -> None:
    for name in kernels.available:
        kernels.check(kernels.library.kvp_choose(name.encode()))
        try:
            check()
        finally:
            kernels.check(kernels.library.kvp_choose(kernels.instructions.encode()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_of_parts_in_another_order(kernels: Kernels, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    with_bias, without = nn.Linear(37, 70).to(dtype), nn.Linear(37, 10, bias=False).to(dtype)
    order = torch.cat([torch.randperm(80), torch.tensor([-1, 5])])
    x = torch.randn(13, 37).to(dtype).float()
    weights = torch.cat([with_bias.weight, without.weight, torch.zeros(1, 37)])[order].double()
    bias = torch.cat([with_bias.bias, torch.zeros(11)])[order].double()

    def check() -> None:
        packed = PackedMatrix.of(kernels, [with_bias, without], order)
        assert packed.size > 82 * 37 * torch.finfo(dtype).bits // 8
        y = torch.empty(13, 82)
        kernels.check(kernels.library.kvp_linear(packed.handle, x.data_ptr(), 2, 13, y.data_ptr(), 2))
        assert (y - (x.double() @ weights.T + bias)).abs().max() < 1e-5

    in_each_set(kernels, check)


def test_matrices_of_several_widths_are_refused(kernels: Kernels) -> None:
    with pytest.raises(ValueError, match="differ in dtype or width"):
        PackedMatrix.of(kernels, [nn.Linear(4, 4), nn.Linear(6, 4)])
    with pytest.raises(KernelCallError, match="column 0: there is no row 4 of 4"):
        PackedMatrix.of(kernels, [nn.Linear(4, 4)], torch.tensor([4]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 1, 2, 3, 1, 1), "missing"),
        ((1, 9, 2, 3, 1, 1), "dtype 9"),
        ((1, 2, 0, 3, 1, 1), "0 rows"),
        ((1, 2, 2**17, 3, 1, 1), "131072 rows"),
        ((1, 2, 2, 3, 0, 1), "0 threads"),
        ((1, 2, 2, 3, 1, 2), "multiple of 4"),
    ],
)
def test_a_product_checks_its_arguments(
    kernels: Kernels, arguments: tuple[int | None, int, int, int, int, int], message: str
) -> None:
    packed = PackedMatrix.of(kernels, [nn.Linear(4, 3)])
    x, y = torch.zeros(3, 4), torch.zeros(3, 3)
    there, dtype, rows, _, threads, offset = arguments
    address = y.data_ptr() + (offset - 1) * 2
    with pytest.raises(KernelCallError, match=message):
        kernels.check(
            kernels.library.kvp_linear(there and packed.handle, x.data_ptr(), dtype, rows, address, threads)
        )


class Places:
    """A small pool, and rows of one sequence whose pages are 3 and 5."""

    def __init__(self, dtype: torch.dtype, rows: int) -> None:
        self.kv = torch.zeros(LAYERS, 2, HEADS, PAGES, 256 * DIM, dtype=dtype)
        self.pool = CPool(self.kv.data_ptr(), self.kv.numel() * self.kv.element_size(), DTYPES[dtype], PAGES)
        self.tables = torch.tensor([3, 5], dtype=torch.int32)
        self.positions = torch.arange(rows, dtype=torch.int32)
        self.row_tables = torch.zeros(rows, dtype=torch.int32)
        arrays = (t.data_ptr() for t in (self.positions, self.row_tables, self.tables))
        self.rows = RowsOfPages(rows, 2, *arrays)
        self.sizes = (ctypes.byref(self.pool), LAYERS, HEADS, DIM)


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_and_values_are_written_attended_to_and_read(kernels: Kernels, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    n = 300
    k, v, q = torch.randn(n, HEADS, DIM), torch.randn(n, HEADS, DIM), torch.randn(n, HEADS * GROUP, DIM) * 0.3
    wide = q.double().view(n, HEADS, GROUP, DIM)
    scores = torch.einsum("ihgd,jhd->hgij", wide, k.to(dtype).double()) * torch.log(torch.tensor(2.0))
    scores = scores.masked_fill(torch.triu(torch.ones(n, n, dtype=torch.bool), 1), -torch.inf)
    wanted = torch.einsum("hgij,jhd->ihgd", scores.softmax(-1), v.to(dtype).double()).reshape(q.shape)
    near = 1e-2 if dtype == torch.bfloat16 else 1e-5

    def check() -> None:
        at = Places(dtype, n)
        rows, library = ctypes.byref(at.rows), kernels.library
        kernels.check(library.kvp_write_kv(*at.sizes, 1, rows, k.data_ptr(), v.data_ptr(), 2))
        out = torch.empty_like(q)
        kernels.check(library.kvp_attend(*at.sizes, 1, rows, GROUP, q.data_ptr(), out.data_ptr(), 2))
        assert (out - wanted).abs().max() < near
        page = torch.empty(LAYERS, 2, HEADS, 256, DIM, dtype=dtype)
        kernels.check(library.kvp_page_read(*at.sizes, 3, 256, page.data_ptr()))
        assert torch.equal(page[1, 0], k[:256].transpose(0, 1).to(dtype))
        assert torch.equal(page[1, 1], v[:256].transpose(0, 1).to(dtype))
        assert not page[0].any()
        before = at.kv.clone()
        at.kv[:, :, :, 3] = 0
        kernels.check(library.kvp_page_write(*at.sizes, 3, 256, page.data_ptr()))
        assert torch.equal(at.kv, before)

    in_each_set(kernels, check)


def test_no_row_and_no_page_leads_out_of_the_pool(kernels: Kernels) -> None:
    at = Places(torch.bfloat16, 300)
    x = torch.zeros(300, HEADS * GROUP, DIM)

    def refused(message: str, *, layer: int = 1, sizes: tuple[int, int, int] = (LAYERS, HEADS, DIM)) -> None:
        pool, rows, library = ctypes.byref(at.pool), ctypes.byref(at.rows), kernels.library
        with pytest.raises(KernelCallError, match=message):
            kernels.check(library.kvp_write_kv(pool, *sizes, layer, rows, x.data_ptr(), x.data_ptr(), 1))
        with pytest.raises(KernelCallError, match=message):
            kernels.check(library.kvp_attend(pool, *sizes, layer, rows, GROUP, x.data_ptr(), x.data_ptr(), 1))

    for wrong in (0, -1, PAGES, 2**31 - 1):
        at.tables[1] = wrong
        refused("a page that the pool does not have")
    at.tables[1] = 5
    for position, message in ((-1, "negative"), (512, "behind the end"), (2**31 - 1, "behind the end")):
        at.positions[7] = position
        refused(message)
    at.positions[7] = 7
    at.row_tables[7] = -1
    refused("begins before")
    at.row_tables[7] = 0
    for layer in (-1, LAYERS, 2**31 - 1):
        refused("no layer", layer=layer)
    for sizes in ((2**31 - 1, HEADS, DIM), (LAYERS, 2**31 - 1, DIM), (LAYERS, HEADS, 64), (1, HEADS, DIM)):
        refused("bytes", sizes=sizes)
    for sizes in ((0, HEADS, DIM), (LAYERS, -1, DIM), (LAYERS, HEADS, 40), (LAYERS, HEADS, 272)):
        refused("a pool of", sizes=sizes)
    assert not at.kv.any()


@pytest.mark.parametrize(("page", "positions"), [(0, 1), (PAGES, 1), (-1, 1), (1, 0), (1, 257), (1, -1)])
def test_a_page_that_is_not_there_is_not_read(kernels: Kernels, page: int, positions: int) -> None:
    at, out = Places(torch.bfloat16, 1), torch.ones(LAYERS, 2, HEADS, 256, DIM)
    for call in (kernels.library.kvp_page_read, kernels.library.kvp_page_write):
        with pytest.raises(KernelCallError, match=f"no {positions} positions of page {page}"):
            kernels.check(call(*at.sizes, page, positions, out.data_ptr()))
    assert out.all() and not at.kv.any()
