// One position's key and value into a page, and a page's first positions to and from row-major memory.
//
// Rows of one pair of positions may be written by two threads at once: a bf16 value is a store of 16 bits.
#pragma once

KVP_INLINE int64_t element_bytes(int dtype) { return dtype == F32_ ? 4 : 2; }
KVP_INLINE char* page_keys(const LayerPages& p, int head, int64_t page) {
    return p.keys + page * p.page_bytes + head * p.head_bytes;
}
KVP_INLINE char* page_values(const LayerPages& p, int head, int64_t page) {
    return p.values + page * p.page_bytes + head * p.head_bytes;
}

// The element of component c of the key, or of the value, at a position of the page.
KVP_INLINE int64_t key_element(int dtype, int dim, int slot, int c) {
    int64_t group = (int64_t)(slot / KEYS) * dim * KEYS;
    int lane = slot % KEYS;
    return dtype == BF16 ? group + (c / 2 * KEYS + lane) * 2 + c % 2 : group + c * KEYS + lane;
}
KVP_INLINE int64_t value_element(int dtype, int dim, int slot, int c) {
    return dtype == BF16 ? ((int64_t)(slot / 2) * dim + c) * 2 + slot % 2 : (int64_t)slot * dim + c;
}

// As pair() of the vector types rounds.
KVP_INLINE uint16_t nearest_bf16(float v) {
    uint32_t w;
    __builtin_memcpy(&w, &v, 4);
    return (uint16_t)(v != v ? (w | 0x400000u) >> 16 : (w + ((w >> 16) & 1) + 0x7fff) >> 16);
}
static void narrow(int dtype, int dim, const float* x, uint16_t* y) {
    if (dtype == BF16)
        for (int i = 0; i < dim; i++) y[i] = nearest_bf16(x[i]);
    else
        for (int i = 0; i < dim; i += L) store_half(y + i, load(x + i));
}

static void write_key(const LayerPages& p, int head, int page, int slot, const float* k) {
    char* to = page_keys(p, head, page);
    if (p.dtype == F32_) {
        float* y = (float*)to + key_element(F32_, p.dim, slot, 0);
        for (int c = 0; c < p.dim; c++) y[c * KEYS] = k[c];
        return;
    }
    alignas(64) uint16_t x[PAGE];
    narrow(p.dtype, p.dim, k, x);
    uint16_t* y = (uint16_t*)to + key_element(p.dtype, p.dim, slot, 0);
    if (p.dtype == BF16)
        for (int c = 0; c < p.dim; c += 2) __builtin_memcpy(y + c * KEYS, x + c, 4);
    else
        for (int c = 0; c < p.dim; c++) y[c * KEYS] = x[c];
}

static void write_value(const LayerPages& p, int head, int page, int slot, const float* v) {
    char* to = page_values(p, head, page);
    if (p.dtype == F32_) {
        __builtin_memcpy((float*)to + value_element(F32_, p.dim, slot, 0), v, 4 * (size_t)p.dim);
        return;
    }
    alignas(64) uint16_t x[PAGE];
    narrow(p.dtype, p.dim, v, x);
    uint16_t* y = (uint16_t*)to + value_element(p.dtype, p.dim, slot, 0);
    if (p.dtype == BF16)
        for (int c = 0; c < p.dim; c++) y[2 * c] = x[c];
    else
        __builtin_memcpy(y, x, 2 * (size_t)p.dim);
}

// A page's first n positions of one head to row-major [n][dim] elements of the pages' own type, and back.
template <class E> static void read_elements(const LayerPages& p, int head, int page, int n, E* keys, E* values) {
    const E *k = (const E*)page_keys(p, head, page), *v = (const E*)page_values(p, head, page);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < p.dim; c++) {
            keys[(int64_t)i * p.dim + c] = k[key_element(p.dtype, p.dim, i, c)];
            values[(int64_t)i * p.dim + c] = v[value_element(p.dtype, p.dim, i, c)];
        }
}
template <class E>
static void write_elements(const LayerPages& p, int head, int page, int n, const E* keys, const E* values) {
    E *k = (E*)page_keys(p, head, page), *v = (E*)page_values(p, head, page);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < p.dim; c++) {
            k[key_element(p.dtype, p.dim, i, c)] = keys[(int64_t)i * p.dim + c];
            v[value_element(p.dtype, p.dim, i, c)] = values[(int64_t)i * p.dim + c];
        }
}
static void read_rows(const LayerPages& p, int head, int page, int n, void* keys, void* values) {
    if (p.dtype == F32_) read_elements(p, head, page, n, (uint32_t*)keys, (uint32_t*)values);
    else read_elements(p, head, page, n, (uint16_t*)keys, (uint16_t*)values);
}
static void write_rows(const LayerPages& p, int head, int page, int n, const void* keys, const void* values) {
    if (p.dtype == F32_) write_elements(p, head, page, n, (const uint32_t*)keys, (const uint32_t*)values);
    else write_elements(p, head, page, n, (const uint16_t*)keys, (const uint16_t*)values);
}
