"""`NativeLinear`: a linear layer by the native product, in which a row's bits do not depend on the other rows."""

from __future__ import annotations

import torch
from torch import nn

from kvproxy.engine.native.decoder_abi import DTYPES
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.packed_matrix import PackedMatrix


class NativeLinear(nn.Module):
    """x @ weight.T + bias, float32 inside, for any number of rows."""

    def __init__(self, kernels: Kernels, matrix: PackedMatrix) -> None:
        super().__init__()
        self._kernels, self._matrix = kernels, matrix
        self.in_features, self.out_features = matrix.width, matrix.columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x, [..., in_features] -> [..., out_features], in the dtype of x."""
        return self.product(x).to(x.dtype)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply as :meth:`forward`; the result stays float32."""
        flat = x.reshape(-1, self.in_features).contiguous()
        y = torch.empty(flat.shape[0], self.out_features)
        if len(flat):
            call = self._kernels.library.kvp_linear
            rows, threads = flat.shape[0], torch.get_num_threads()
            made = call(self._matrix.handle, flat.data_ptr(), DTYPES[x.dtype], rows, y.data_ptr(), threads)
            self._kernels.check(made)
        return y.view(*x.shape[:-1], self.out_features)
