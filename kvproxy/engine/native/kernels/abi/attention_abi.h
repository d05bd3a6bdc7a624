// The C interface of pages and of attention over them. Part of kvproxy.h.
#pragma once

struct kvp_pool;

// Rows at positions of sequences: row r's pages are tables[row_tables[r]] and the following.
struct kvp_rows_of_pages {
    int32_t rows, table_entries;
    const int32_t* positions;
    const int32_t* row_tables;
    const int32_t* tables;
};

// k, v: [rows][kv_heads][dim]: to the rows' places in a layer's pages.
KVP_API int kvp_write_kv(const struct kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer,
                         const struct kvp_rows_of_pages* rows, const float* k, const float* v, int32_t threads);
// q, out: [rows][kv_heads * group][dim]; q times log2(e) and the model's factor. Row r sees positions up to its own.
KVP_API int kvp_attend(const struct kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t layer,
                       const struct kvp_rows_of_pages* rows, int32_t group, const float* q, float* out, int32_t threads);
// A page's first `positions` from and to row-major memory [layers][2][kv_heads][positions][dim] of the pool's dtype.
KVP_API int kvp_page_read(const struct kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t page,
                          int32_t positions, void* out);
KVP_API int kvp_page_write(const struct kvp_pool* pool, int32_t layers, int32_t kv_heads, int32_t dim, int32_t page,
                           int32_t positions, const void* from);
