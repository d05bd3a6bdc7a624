"""`Host`: the CPU's instructions, the CUDA device and the torch build, as ``kvproxy doctor`` reports them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Host:
    """The parts of this machine that decide the kernels' speed."""

    torch: str
    """Version with its build, e.g. ``2.13.0+cpu``."""
    capability: str
    """The widest vector instructions that torch uses here: ``DEFAULT``, ``AVX2``, ``AVX512`` …"""
    fast_bf16: bool
    """Whether bf16 products run in hardware (AMX, AVX512_BF16, or a CUDA device) rather than emulated."""
    cuda: str | None
    """Name of the first CUDA device; None without one."""


def read_host() -> Host:
    """Describe this machine."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    on_cpu = any(getattr(torch.cpu, name, lambda: False)() for name in probes)
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return Host(
        torch=str(torch.__version__),
        capability=torch.backends.cpu.get_cpu_capability(),
        fast_bf16=on_cpu or cuda is not None,
        cuda=cuda,
    )
