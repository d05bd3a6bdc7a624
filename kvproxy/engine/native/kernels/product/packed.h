// A weight matrix and a tile's rows in the layouts of the product.
#pragma once

enum Dtype { BF16 = 0, F16 = 1, F32_ = 2, QUANTISED = 3 };
enum { BLOCKS = 256 };  // with a kind of quantised/blocks.h added: rows of a table as a file holds them
enum { PANEL = 32 };  // columns of a panel

// y[row][n] = sum over k of x[row][k] * W[n][k] + bias[n]. Weights stand in panels of 32 columns, by pairs of k:
//   BF16: [N/32][K/2][32 columns][2]      F16, F32_: [N/32][K/2][2][32 columns]
// Columns behind N and a k behind K are 0.
//   QUANTISED: panels of 4 to 8 bits, each in a format of its own, see quantised/formats.h
struct Matrix {
    int dtype;
    int64_t columns, width;  // N, K
    const void* panels;
    const float* bias;  // N floats rounded up to a panel, or null
};

// A tile's rows as the product reads them; the layout is the instruction set's own. Written by pack_slice alone.
struct PackedRows {
    void* data;
    int64_t width;
    int dtype;  // that of the matrix they will be multiplied with
};

// Given by product.h, all of internal linkage:
//   size_t packed_rows_bytes(int rows, int64_t width, int dtype)
//   void pack_slice(const PackedRows& x, int row, int64_t k, const float* values, int count)
//       writes values[0..count) to x[row][k..k+count); k even; count even, or odd at the row's end, whose pair is then 0;
//       QUANTISED: k and count multiples of 32, since that many values have one scale
//   template <class Epilogue> void product(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e)
//       calls e(row, column, const float* y) for each row and panel: y[0..31] are the sums, bias added, of columns
//       [column, column + 32), of which those behind N mean nothing. Ends with a barrier. The sum of an element is one
//       chain over k, the same for every number of rows.
//   size_t matrix_bytes(int dtype, int64_t columns, int64_t width)
//   void pack_panel(Matrix& m, void* panels, int64_t panel, const void* source, int64_t row_stride)
