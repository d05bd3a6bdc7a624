"""`PackedMatrix`: the weights of one product, in the library's memory."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from kvproxy.engine.native.decoder_abi import DTYPES
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.signatures import BlockRows, SourceRows
from kvproxy.engine.quantised.quantised_modules import QuantisedLinear


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class PackedMatrix:
    """Weights in the layout of the product, with their bias. Freed with the object."""

    handle: int
    """``kvp_matrix``"""
    columns: int
    width: int
    size: int
    """Bytes."""

    @staticmethod
    def of(kernels: Kernels, linears: Sequence[nn.Linear], order: torch.Tensor | None = None) -> PackedMatrix:
        """Pack the rows of ``linears``, one below the other, in ``order`` (-1: a row of zeros); all, without one.

        They have one dtype and one width, or all are quantised; a missing bias is zeros where another has one. The
        weights are copied. Raises ValueError.

        Example: ``PackedMatrix.of(load_kernels(), [layer.q_proj, layer.k_proj, layer.v_proj])``
        """
        if any(isinstance(linear, QuantisedLinear) for linear in linears):
            return _of_blocks(kernels, linears, order)
        weights = [_rows(linear.weight) for linear in linears]
        sources = (SourceRows * len(weights))(
            *(SourceRows(w.data_ptr(), w.shape[0], w.stride(0)) for w in weights)
        )
        columns = sum(w.shape[0] for w in weights) if order is None else len(order)
        width = weights[0].shape[1]
        if {(w.dtype, w.shape[1]) for w in weights} != {(weights[0].dtype, width)}:
            raise ValueError("the matrices of one product differ in dtype or width")
        rows = None if order is None else order.to(torch.int32).contiguous()
        bias = _bias(linears, order)
        handle = kernels.made(
            kernels.library.kvp_matrix_new(
                *(DTYPES[weights[0].dtype], columns, width, sources, len(sources)),
                None if rows is None else rows.data_ptr(),
                None if bias is None else bias.data_ptr(),
                torch.get_num_threads(),
            ),
            f"a matrix of {columns} x {width}",
        )
        made = PackedMatrix(handle, columns, width, kernels.library.kvp_matrix_bytes(handle))
        weakref.finalize(made, kernels.library.kvp_matrix_free, handle)
        return made


def _of_blocks(kernels: Kernels, linears: Sequence[nn.Linear], order: torch.Tensor | None) -> PackedMatrix:
    tensors = [linear.blocks for linear in linears if isinstance(linear, QuantisedLinear)]
    if len(tensors) < len(linears) or len({t.width for t in tensors}) > 1:
        raise ValueError("one product has quantised weights beside plain ones, or of several widths")
    sources = (BlockRows * len(tensors))(
        *(BlockRows(t.blocks.ctypes.data, t.rows, t.blocks.shape[1], int(t.kind)) for t in tensors)
    )
    columns, width = sum(t.rows for t in tensors) if order is None else len(order), tensors[0].width
    rows = None if order is None else order.to(torch.int32).contiguous()
    bias = _bias(linears, order)
    handle = kernels.made(
        kernels.library.kvp_matrix_new_quantised(
            *(columns, width, sources, len(sources)),
            None if rows is None else rows.data_ptr(),
            None if bias is None else bias.data_ptr(),
            torch.get_num_threads(),
        ),
        f"a quantised matrix of {columns} x {width}",
    )
    made = PackedMatrix(handle, columns, width, kernels.library.kvp_matrix_bytes(handle))
    weakref.finalize(made, kernels.library.kvp_matrix_free, handle)
    return made


def _rows(weight: torch.Tensor) -> torch.Tensor:
    weight = weight.detach()
    return weight if weight.stride(1) == 1 else weight.contiguous()


def _bias(linears: Sequence[nn.Linear], order: torch.Tensor | None) -> torch.Tensor | None:
    """Return float32 [columns], or None where no part has one."""
    if all(linear.bias is None for linear in linears):
        return None
    parts = [
        torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
        for linear in linears
    ]
    together = torch.cat([*parts, torch.zeros(1)])  # -1 of an order is the zero behind them
    return (together[:-1] if order is None else together[order]).contiguous()
