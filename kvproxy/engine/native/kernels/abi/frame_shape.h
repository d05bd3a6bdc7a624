// The shape of a frame behind the C interface.
#pragma once
#include "../isa/kernels_table.h"
#include "errors.h"
#include "frames_abi.h"

inline int kvp_take_shape(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes, kvproxy::FrameShape* to) {
    const int most_channels = 1 << 16;
    bool sized = heads >= 1 && dim >= 1 && heads <= most_channels && dim <= most_channels / heads;
    if (!sized || positions < 1 || positions > kvproxy::PAGE || (element_bytes != 2 && element_bytes != 4)) {
        return kvp_fail(KVP_BAD_ARGUMENT, "no frame has %d heads, %d positions, %d components of %d bytes", (int)heads,
                        (int)positions, (int)dim, (int)element_bytes);
    }
    *to = {heads, positions, dim, element_bytes};
    return KVP_OK;
}

inline int64_t kvp_shape_elements(const kvproxy::FrameShape& s) { return (int64_t)s.heads * s.positions * s.dim; }
