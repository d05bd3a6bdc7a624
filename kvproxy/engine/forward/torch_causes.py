"""Known causes of other bits in torch's own kernels, by name: parts of the fingerprint of a model that uses them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping

import torch


def torch_causes(device: torch.device) -> Mapping[str, str]:
    """Return torch's version, the instructions and the threads that it uses, and the device's name."""
    return {
        "torch": str(torch.__version__),
        "instructions": f"{platform.machine()}:{torch.backends.cpu.get_cpu_capability()}:{_bf16_isa()}",
        "threads": str(torch.get_num_threads()),
        **_gpu(device),
    }


def has_triton() -> bool:
    """Return whether Triton is installed: it comes with torch's builds for CUDA devices, and with no other."""
    return importlib.util.find_spec("triton") is not None


def _gpu(device: torch.device) -> Mapping[str, str]:
    if device.type != "cuda":
        return {}
    triton = importlib.metadata.version("triton") if has_triton() else None
    capability = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    return {"gpu": f"{name}:{capability}:{torch.version.cuda}:triton={triton}"}


def _bf16_isa() -> str:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported", "_is_avx512_vnni_supported")
    return ",".join(p.removeprefix("_is_") for p in probes if getattr(torch.cpu, p, lambda: False)())
