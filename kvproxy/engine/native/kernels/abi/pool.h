// A pool of pages behind the C interface: the caller's memory, whose layout follows from its sizes.
#pragma once
#include "../isa/kernels_table.h"
#include "../kvproxy.h"
#include "decoder_abi.h"

namespace kvproxy {
#include "../attention/check.h"
}  // namespace kvproxy

// Describes the pool of layers x kv_heads x dim in `to`; KVP_BAD_ARGUMENT where its bytes are not exactly that many.
int kvp_check_pool(const struct kvp_pool* from, int32_t layers, int32_t kv_heads, int32_t dim, kvproxy::Pool* to);
