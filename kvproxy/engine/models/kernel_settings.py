"""The settings of this process that torch's kernel libraries obey, by name: the readable side of the fingerprint.

None of them is part of the fingerprint: the digest of the kernels' results is (``kernel_digest``), and a setting that
changes no bit must not cost the pages that are kept. They are named where results differ, as the likely reason.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

import torch

_PREFIXES = (
    "ONEDNN_", "DNNL_", "MKL_", "MKLDNN_", "OMP_", "GOMP_", "KMP_", "ATEN_", "TORCH_", "CUBLAS_", "CUBLASLT_",
    "CUDNN_", "NVIDIA_TF32_", "TRITON_",
)  # fmt: skip
_products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # an attribute of the module's class
_SILENT = frozenset(
    {
        *("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "ONEDNN_VERBOSE", "DNNL_VERBOSE", "MKL_VERBOSE"),
        *("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"),
    }
)
"""Variables that change the log, the memory or the waiting alone."""


def kernel_variables(environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """Return the environment variables that are set for oneDNN, MKL, OpenMP, torch and CUDA's libraries."""
    found = {k: v for k, v in sorted(environ.items()) if k.startswith(_PREFIXES) and k not in _SILENT}
    return MappingProxyType(found)


def kernel_settings() -> Mapping[str, str]:
    """Return :func:`kernel_variables`, and torch's switches as they stand."""
    switches = {
        # By backend: torch.get_float32_matmul_precision raises once one of them was set, as the float32 kernels do.
        "torch float32 precision, cuda": str(torch.backends.cuda.matmul.fp32_precision),
        "torch float32 precision, mkldnn": str(_products.fp32_precision),
        "torch deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "torch bf16 reduced precision": str(
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        ),
        "torch mkldnn": str(torch.backends.mkldnn.enabled),
    }
    return MappingProxyType({**kernel_variables(), **switches})
