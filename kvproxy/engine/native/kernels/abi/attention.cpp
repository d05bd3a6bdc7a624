// Pages and attention over them: every page id, position and layer is checked here.
#include "errors.h"
#include "pool.h"
#include "attention_abi.h"

using namespace kvproxy;

namespace {

int take_layer(const Pool& pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer, LayerPages* to) {
    if (layer < 0 || layer >= layers) return kvp_fail(KVP_BAD_ARGUMENT, "there is no layer %d of %d", (int)layer, (int)layers);
    char* keys = pool.data + layer * pool.layer_bytes;
    *to = {pool.dtype, kv_heads, dim, keys, keys + pool.kind_bytes, pool.head_bytes, pool.page_bytes};
    return KVP_OK;
}

int take_rows(const kvp_rows_of_pages* from, int pages, AttentionRows* to) {
    if (!from || !from->positions || !from->row_tables || !from->tables) {
        return kvp_fail(KVP_BAD_ARGUMENT, "the rows lack one of their arrays");
    }
    if (int e = kvp_check_rows(from->rows)) return e;
    *to = {from->rows, from->positions, from->row_tables, from->tables};
    const char* reason = "";
    if (check_rows(*to, from->table_entries, pages, &reason)) return kvp_fail(KVP_BAD_ARGUMENT, "%s", reason);
    return KVP_OK;
}

// The pool, its layer and the rows of a call.
struct Places {
    Pool pool;
    LayerPages layer;
    AttentionRows rows;
};

int take_places(const kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer,
                const kvp_rows_of_pages* rows, int32_t threads, Places* to) {
    if (int e = kvp_check_threads(threads)) return e;
    if (int e = kvp_check_pool(pool, layers, kv_heads, dim, &to->pool)) return e;
    if (int e = take_layer(to->pool, layers, kv_heads, dim, layer, &to->layer)) return e;
    return take_rows(rows, pool->pages, &to->rows);
}

int take_page(const kvp_pool* from, int32_t layers, int32_t kv_heads, int32_t dim, int32_t page, int32_t positions,
              const void* rows, Pool* pool) {
    if (int e = kvp_check_pool(from, layers, kv_heads, dim, pool)) return e;
    if (!rows) return kvp_fail(KVP_BAD_ARGUMENT, "the page's rows are missing");
    if (int e = kvp_check_aligned(rows, from->dtype == F32_ ? 4 : 2, "the page's rows")) return e;
    if (page < 1 || page >= from->pages || positions < 1 || positions > PAGE) {
        return kvp_fail(KVP_BAD_ARGUMENT, "there are no %d positions of page %d", (int)positions, (int)page);
    }
    return KVP_OK;
}

}  // namespace

KVP_API int kvp_write_kv(const kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer,
                         const kvp_rows_of_pages* rows, const float* k, const float* v, int32_t threads) {
    Places at;
    if (int e = take_places(pool, layers, kv_heads, dim, layer, rows, threads, &at)) return e;
    if (!k || !v) return kvp_fail(KVP_BAD_ARGUMENT, "keys or values are missing");
    kvp_kernels_in_use()->write_kv(at.layer, at.rows, k, v, threads);
    return KVP_OK;
}

KVP_API int kvp_attend(const kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer,
                       const kvp_rows_of_pages* rows, int32_t group, const float* q, float* out, int32_t threads) {
    Places at;
    if (int e = take_places(pool, layers, kv_heads, dim, layer, rows, threads, &at)) return e;
    if (!q || !out) return kvp_fail(KVP_BAD_ARGUMENT, "queries or results are missing");
    if (group < 1 || group > 1024) return kvp_fail(KVP_BAD_ARGUMENT, "%d query heads share a key head", (int)group);
    if (kvp_kernels_in_use()->attend_rows(at.layer, at.rows, group, q, out, threads)) {
        return kvp_fail(KVP_NO_MEMORY, "no memory for the attention of %d rows", at.rows.rows);
    }
    return KVP_OK;
}

KVP_API int kvp_page_read(const kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t page,
                          int32_t positions, void* out) {
    Pool p;
    if (int e = take_page(pool, layers, kv_heads, dim, page, positions, out, &p)) return e;
    for (int32_t i = 0; i < layers; i++) {
        LayerPages layer;
        take_layer(p, layers, kv_heads, dim, i, &layer);
        int64_t head = (int64_t)positions * dim * (p.dtype == F32_ ? 4 : 2), kind = head * kv_heads;
        char* keys = (char*)out + i * 2 * kind;
        for (int32_t h = 0; h < kv_heads; h++) {
            kvp_kernels_in_use()->read_rows(layer, h, page, positions, keys + h * head, keys + kind + h * head);
        }
    }
    return KVP_OK;
}

KVP_API int kvp_page_write(const kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t page,
                           int32_t positions, const void* from) {
    Pool p;
    if (int e = take_page(pool, layers, kv_heads, dim, page, positions, from, &p)) return e;
    for (int32_t i = 0; i < layers; i++) {
        LayerPages layer;
        take_layer(p, layers, kv_heads, dim, i, &layer);
        int64_t head = (int64_t)positions * dim * (p.dtype == F32_ ? 4 : 2), kind = head * kv_heads;
        const char* keys = (const char*)from + i * 2 * kind;
        for (int32_t h = 0; h < kv_heads; h++) {
            kvp_kernels_in_use()->write_rows(layer, h, page, positions, keys + h * head, keys + kind + h * head);
        }
    }
    return KVP_OK;
}
