// Weight matrices behind the C interface: memory of the library's own, in the layout of the product.
#pragma once
#include "../isa/kernels_table.h"
#include "../kvproxy.h"

struct kvp_matrix {
    kvproxy::Matrix matrix;
    void* memory;  // panels, then the bias
    size_t bytes;
};

// The matrix as kernels read it; it lives as long as `from`.
inline const kvproxy::Matrix* kvp_matrix_of(const struct kvp_matrix* from) { return &from->matrix; }

// Whether a table of `width` components can be of this dtype: BF16, F16, F32_, or BLOCKS with a kind of quantised blocks.
bool kvp_table_fits(int dtype, int64_t width);

// A matrix whose panels of `panel_bytes` in all are still to be written, at matrix.panels; its bias is copied, and 0
// behind `columns`. Null where there is no memory. Sizes were checked.
struct kvp_matrix* kvp_matrix_allocate(int dtype, int64_t columns, int64_t width, size_t panel_bytes, const float* bias);
