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

// A page's first n positions of one head to row-major [n][dim] elements of the pages' own type, and back: bits are moved,
// none is computed. A pair of bf16 key components stands in a word, so that keys of every type are KEYS rows of words
// turned into columns; a pair of bf16 values of two positions is a word. Element by element it took four times as long
// as the digest of the same bytes.
template <class W> KVP_INLINE void turn(const W* rows, int64_t width, int lanes, W* columns) {
    for (int64_t c = 0; c < width; c++)
        for (int i = 0; i < lanes; i++) columns[c * KEYS + i] = rows[i * width + c];
}
template <class W> KVP_INLINE void turn_back(const W* columns, int64_t width, int lanes, W* rows) {
    for (int i = 0; i < lanes; i++)
        for (int64_t c = 0; c < width; c++) rows[i * width + c] = columns[c * KEYS + i];
}
template <class W> static void write_keys(W* to, int64_t width, int n, const W* rows) {
    int i = 0;
    for (; i + KEYS <= n; i += KEYS) turn(rows + i * width, width, KEYS, to + i * width);
    if (i < n) turn(rows + i * width, width, n - i, to + i * width);
}
template <class W> static void read_keys(const W* from, int64_t width, int n, W* rows) {
    int i = 0;
    for (; i + KEYS <= n; i += KEYS) turn_back(from + i * width, width, KEYS, rows + i * width);
    if (i < n) turn_back(from + i * width, width, n - i, rows + i * width);
}
static void write_value_pairs(uint32_t* to, int64_t dim, int n, const uint16_t* rows) {
    for (int i = 0; i + 1 < n; i += 2)
        for (int64_t c = 0; c < dim; c++)
            to[i / 2 * dim + c] = rows[i * dim + c] | (uint32_t)rows[(i + 1) * dim + c] << 16;
    if (n % 2)
        for (int64_t c = 0; c < dim; c++) ((uint16_t*)to)[((n / 2) * dim + c) * 2] = rows[(n - 1) * dim + c];
}
static void read_value_pairs(const uint32_t* from, int64_t dim, int n, uint16_t* rows) {
    for (int i = 0; i < n; i++) {
        int shift = i % 2 * 16;
        for (int64_t c = 0; c < dim; c++) rows[i * dim + c] = (uint16_t)(from[i / 2 * dim + c] >> shift);
    }
}
static void read_rows(const LayerPages& p, int head, int page, int n, void* keys, void* values) {
    const char *k = page_keys(p, head, page), *v = page_values(p, head, page);
    if (p.dtype == BF16) {
        read_keys((const uint32_t*)k, p.dim / 2, n, (uint32_t*)keys);
        read_value_pairs((const uint32_t*)v, p.dim, n, (uint16_t*)values);
        return;
    }
    if (p.dtype == F32_) read_keys((const uint32_t*)k, p.dim, n, (uint32_t*)keys);
    else read_keys((const uint16_t*)k, p.dim, n, (uint16_t*)keys);
    __builtin_memcpy(values, v, (size_t)(n * p.dim * element_bytes(p.dtype)));
}
static void write_rows(const LayerPages& p, int head, int page, int n, const void* keys, const void* values) {
    char *k = page_keys(p, head, page), *v = page_values(p, head, page);
    if (p.dtype == BF16) {
        write_keys((uint32_t*)k, p.dim / 2, n, (const uint32_t*)keys);
        write_value_pairs((uint32_t*)v, p.dim, n, (const uint16_t*)values);
        return;
    }
    if (p.dtype == F32_) write_keys((uint32_t*)k, p.dim, n, (const uint32_t*)keys);
    else write_keys((uint16_t*)k, p.dim, n, (const uint16_t*)keys);
    __builtin_memcpy(v, values, (size_t)(n * p.dim * element_bytes(p.dtype)));
}
