"""`load_kernels`: the compiled kernels of this process, or the reason why there are none."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kvproxy.engine.native import compile_library, signatures
from kvproxy.errors import SetupError

CHOICE = "KVPROXY_INSTRUCTIONS"
"""Names the instruction set to use instead of the best one: for tests, and to find out where a fault lies."""

_OPENMP = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


@dataclass(frozen=True, slots=True)
class Kernels:
    """The library, loaded and set up."""

    library: ctypes.CDLL
    """The functions of ``kernels/kvproxy.h``, with their types."""
    instructions: str
    """The instruction set in use."""
    available: tuple[str, ...]
    """Those that were built and that this machine has, the best first."""
    digest: str
    """sha256 of the sources: with the instruction set, all that the kernels' bits depend on."""
    compiler: str
    """Name and version, e.g. ``gcc 12.2.0``."""
    team: bool
    """Whether calls use the threads of torch's OpenMP; else each runs on its caller's alone."""

    def check(self, code: int) -> None:
        """Raise `KernelCallError` or MemoryError where the call just made on this thread returned less than 0."""
        if code < 0:
            message = self.library.kvp_last_error().decode(errors="replace")
            raise (
                MemoryError(message) if code == signatures.NO_MEMORY else signatures.KernelCallError(message)
            )

    def made(self, handle: int | None, what: str) -> int:
        """Return the handle of what the call just made on this thread; raise `KernelCallError` where it made nothing.

        ``kernels.made(library.kvp_decoder_new(shape), "a decoder")``
        """
        if handle:
            return handle
        message = self.library.kvp_last_error().decode(errors="replace")
        raise signatures.KernelCallError(f"{what}: {message}")


@dataclass(frozen=True, slots=True)
class NoKernels:
    """No library that can be used: the engine computes by torch, exact as well, but slower."""

    reason: str
    advice: str


def load_kernels() -> Kernels | NoKernels:
    """Load the library once in a process. Raises `SetupError` where KVPROXY_INSTRUCTIONS names no set of this machine.

    Called with torch loaded, calls use torch's team of threads from then on.
    """
    found = _open()
    if isinstance(found, NoKernels):
        return found
    _choose(found)
    return Kernels(
        library=found,
        instructions=found.kvp_chosen().decode(),
        available=tuple(found.kvp_instruction_sets().decode().split()),
        digest=found.kvp_source_digest().decode(),
        compiler=found.kvp_compiler().decode(),
        team=_use_team_of_torch(found),
    )


@cache
def _open(path: Path = compile_library.LIBRARY) -> ctypes.CDLL | NoKernels:
    compile_again = f"run `{Path(sys.executable).name} -m {compile_library.MODULE}`"
    built = compile_library.built_from(path)
    if built is None:
        return NoKernels(
            "the engine's own kernels were not compiled at the installation",
            f"install g++ or clang++, or `pip install ziglang`; then {compile_again}, which says what is amiss",
        )
    if compile_library.KERNELS.is_dir() and built[0] != compile_library.source_digest():
        return NoKernels(
            "the engine's own kernels were compiled from other sources than are here", compile_again
        )
    try:
        library = ctypes.CDLL(str(path))
        if library.kvp_abi_version() != signatures.ABI:
            return NoKernels("the library of the engine's own kernels is another version's", compile_again)
        signatures.declare(library)
    except (OSError, AttributeError) as e:
        return NoKernels(f"the library of the engine's own kernels cannot be loaded: {e}", compile_again)
    return library


def _choose(library: ctypes.CDLL) -> None:
    name = os.environ.get(CHOICE)
    if name and library.kvp_choose(name.encode()) < 0:
        there_are = ", ".join(library.kvp_instruction_sets().decode().split())
        message = library.kvp_last_error().decode()
        raise SetupError(f"{CHOICE}={name}: {message}; this machine can use {there_are}")


def _use_team_of_torch(library: ctypes.CDLL) -> bool:
    """Hand over the OpenMP functions that torch itself calls: a second team of threads would cost a whole core."""
    for scope in _scopes_of_torch():
        addresses = [_address(scope, name) for name in _OPENMP]
        if None not in addresses:
            library.kvp_use_openmp(*addresses)
            return True
    return False


def _scopes_of_torch() -> list[ctypes.CDLL]:
    """Libraries in the order in which the linker looked for what torch calls: those that are global, then its own."""
    torch = sys.modules.get("torch")
    if torch is None or torch.__file__ is None:
        return []
    scopes = [ctypes.CDLL(None)]
    try:
        path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
        scopes.append(ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD))
    except OSError:  # a build of torch that is laid out otherwise
        pass
    return scopes


def _address(scope: ctypes.CDLL, name: str) -> int | None:
    try:
        return ctypes.cast(getattr(scope, name), ctypes.c_void_p).value
    except AttributeError:
        return None
