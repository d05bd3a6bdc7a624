// The rows of a tile, by blocks of rows: [block][K/2][row] bf16 pairs where weights are multiplied by pair dots, else
// [block][K/2][2][row] float32. A pass over k then reads broadcasts from consecutive memory. For AMX, whose tiles are
// row-major, [block][K/32][2][16 rows][32 k] bf16, with zeros up to a multiple of 32 k.
#pragma once

// Whether weights of this type are multiplied by dot products of bf16 pairs.
KVP_INLINE bool by_pair_dot(int dtype) { return KVP_PAIR_DOT && dtype == BF16; }

KVP_INLINE bool by_tiles(int dtype) { return KVP_TILES && dtype == BF16; }

// Pairs of k, padding included.
KVP_INLINE int64_t pairs_of(int64_t width, int dtype) {
    int64_t pairs = (width + 1) / 2;
    return by_tiles(dtype) ? (pairs + AMX_PAIRS - 1) / AMX_PAIRS * AMX_PAIRS : pairs;
}

KVP_INLINE int rows_of_block(int dtype) { return by_tiles(dtype) ? (int)AMX_ROWS : (int)BLOCK_ROWS; }

// Bytes of one pair of k of one row.
KVP_INLINE int64_t pair_bytes(int dtype) { return by_pair_dot(dtype) ? 4 : 8; }

KVP_INLINE size_t packed_rows_bytes(int rows, int64_t width, int dtype) {
    if (dtype == QUANTISED) return quantised::packed_bytes(rows, width);
    int64_t in_block = rows_of_block(dtype), blocks = (rows + in_block - 1) / in_block;
    return (size_t)(blocks * in_block * pairs_of(width, dtype) * pair_bytes(dtype));
}

// The first byte of a block at a pair of k; for tiles, the first pair of a step.
KVP_INLINE char* block_of(const PackedRows& x, int64_t block, int64_t pair) {
    return (char*)x.data + (block * pairs_of(x.width, x.dtype) + pair) * rows_of_block(x.dtype) * pair_bytes(x.dtype);
}

// Words of the row from k, a pair each, in the block's or the tiles' order.
struct RowWords {
    uint32_t* block;
    int64_t pair, row;
    KVP_INLINE void put(const RowWords& to, int64_t i, uint32_t word) {
        int64_t p = to.pair + i;
        if (KVP_TILES) {
            to.block[p / AMX_PAIRS * AMX_PAIRS * AMX_ROWS + to.row * AMX_PAIRS + p % AMX_PAIRS] = word;
        } else {
            to.block[p * BLOCK_ROWS + to.row] = word;
        }
    }
};

static inline void pack_pairs(const RowWords& to, const float* values, int count) {
    int i = 0;
    float e[L], o[L];
    uint32_t w[L];
    for (; i < count; i += 2 * L) {
        int n = count - i < 2 * L ? (count - i + 1) / 2 : (int)L;
        for (int j = 0; j < L; j++) {
            int at = i + 2 * j;
            e[j] = at < count ? values[at] : 0.0f;
            o[j] = at + 1 < count ? values[at + 1] : 0.0f;
        }
        store_words(w, pair(load(e), load(o)));
        for (int j = 0; j < n; j++) RowWords::put(to, i / 2 + j, w[j]);
    }
}

static inline void pack_slice(const PackedRows& x, int row, int64_t k, const float* values, int count) {
    if (x.dtype == QUANTISED) return quantised::pack_slice(x, row, k, values, count);
    const int in_block = rows_of_block(x.dtype);
    char* block = block_of(x, row / in_block, 0);
    const int r = row % in_block;
    if (by_pair_dot(x.dtype)) {
        RowWords to = {(uint32_t*)block, k / 2, r};
        pack_pairs(to, values, count);
        if (k + count < x.width) return;
        int64_t written = (count + 1) / 2, end = pairs_of(x.width, x.dtype) - k / 2;
        for (int64_t i = written; i < end; i++) RowWords::put(to, i, 0);
        return;
    }
    float* out = (float*)block + k * BLOCK_ROWS + r;
    for (int i = 0; i < count; i++) out[i * BLOCK_ROWS] = values[i];
    if (count % 2) out[count * BLOCK_ROWS] = 0.0f;
}
