// The rows of a tile, by blocks of BLOCK_ROWS rows: [block][K/2][row] bf16 pairs where weights are multiplied by pair
// dots, else [block][K/2][2][row] float32. A pass over k then reads broadcasts from consecutive memory.
#pragma once

// Whether weights of this type are multiplied by dot products of bf16 pairs.
KVP_INLINE bool by_pair_dot(int dtype) { return KVP_PAIR_DOT && dtype == BF16; }

KVP_INLINE int64_t pairs_of(int64_t width) { return (width + 1) / 2; }

// Bytes of one pair of k of one row.
KVP_INLINE int64_t pair_bytes(int dtype) { return by_pair_dot(dtype) ? 4 : 8; }

KVP_INLINE size_t packed_rows_bytes(int rows, int64_t width, int dtype) {
    if (dtype == QUANTISED) return quantised::packed_bytes(rows, width);
    int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    return (size_t)(blocks * BLOCK_ROWS * pairs_of(width) * pair_bytes(dtype));
}

// The first byte of a block at a pair of k.
KVP_INLINE char* block_of(const PackedRows& x, int64_t block, int64_t pair) {
    return (char*)x.data + (block * pairs_of(x.width) + pair) * BLOCK_ROWS * pair_bytes(x.dtype);
}

static inline void pack_slice(const PackedRows& x, int row, int64_t k, const float* values, int count) {
    if (x.dtype == QUANTISED) return quantised::pack_slice(x, row, k, values, count);
    char* block = block_of(x, row / BLOCK_ROWS, k / 2);
    int r = row % BLOCK_ROWS;
    if (!by_pair_dot(x.dtype)) {
        float* out = (float*)block + r;
        for (int i = 0; i < count; i++) out[i * BLOCK_ROWS] = values[i];
        if (count % 2) out[count * BLOCK_ROWS] = 0.0f;
        return;
    }
    uint32_t* out = (uint32_t*)block + r;
    for (int i = 0; i < count; i += 2 * L) {
        float e[L], o[L];
        int n = count - i < 2 * L ? (count - i + 1) / 2 : (int)L;
        for (int j = 0; j < L; j++) {
            int at = i + 2 * j;
            e[j] = at < count ? values[at] : 0.0f;
            o[j] = at + 1 < count ? values[at + 1] : 0.0f;
        }
        uint32_t w[L];
        store_words(w, pair(load(e), load(o)));
        for (int j = 0; j < n; j++) out[(i / 2 + j) * BLOCK_ROWS] = w[j];
    }
}
