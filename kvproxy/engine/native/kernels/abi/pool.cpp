// The layout of a pool of pages: [layers][2][kv_heads][pages] blocks of 256 positions of one head.
#include "pool.h"
#include "errors.h"

using namespace kvproxy;

int kvp_check_pool(const struct kvp_pool* from, int32_t layers, int32_t kv_heads, int32_t dim, kvproxy::Pool* to) {
    if (!from || !from->data) return kvp_fail(KVP_BAD_ARGUMENT, "the pool is missing");
    if (from->dtype != BF16 && from->dtype != F16 && from->dtype != F32_) {
        return kvp_fail(KVP_UNSUPPORTED, "pages of dtype %d cannot be attended to", (int)from->dtype);
    }
    if (layers < 1 || kv_heads < 1 || from->pages < 2 || dim < 16 || dim > 256 || dim % 16) {
        return kvp_fail(KVP_BAD_ARGUMENT, "a pool of %d layers, %d heads of %d, %d pages", (int)layers, (int)kv_heads,
                        (int)dim, (int)from->pages);
    }
    if (int e = kvp_check_aligned(from->data, 64, "the pool")) return e;
    int64_t page = (int64_t)PAGE * dim * (from->dtype == F32_ ? 4 : 2), head, kind, layer, all;
    if (__builtin_mul_overflow(page, (int64_t)from->pages, &head) || __builtin_mul_overflow(head, (int64_t)kv_heads, &kind) ||
        __builtin_mul_overflow(kind, (int64_t)2, &layer) || __builtin_mul_overflow(layer, (int64_t)layers, &all) ||
        all != from->bytes) {
        return kvp_fail(KVP_BAD_ARGUMENT, "the pool's %lld bytes are not those of its %d pages", (long long)from->bytes,
                        (int)from->pages);
    }
    *to = {(char*)from->data, from->dtype, layer, kind, head, page, from->pages};
    return KVP_OK;
}
