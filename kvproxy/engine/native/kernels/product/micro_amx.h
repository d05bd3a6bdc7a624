// The block of the product by AMX tiles: 16 or 32 bf16 rows times the 32 columns of a panel.
//
// One step of the chain takes 16 pairs of k, in the instruction's own order; a row's sums depend on that row alone, so
// that a block of one row, of 16 or of 32 gives a row the same bits. k is padded with zeros to 16 pairs.
#pragma once

// Rows: [block of 32][K/32][2][16 rows][32 k]; two tiles of rows, two of weights, four of sums.
template <int ROW_TILES>
static void multiply_tiles(float* sums, const char* x, const char* w, int64_t, int64_t pairs, Ahead ahead) {
    const long sum_stride = PANEL * sizeof(float), weight_stride = 4 * PANEL, row_stride = 64;
    KVP_TILE_LOAD(0, sums, sum_stride);
    KVP_TILE_LOAD(1, sums + 16, sum_stride);
    if (ROW_TILES > 1) {
        KVP_TILE_LOAD(2, sums + 16 * PANEL, sum_stride);
        KVP_TILE_LOAD(3, sums + 16 * PANEL + 16, sum_stride);
    }
    for (int64_t p = 0; p < pairs; p += AMX_PAIRS) {
        for (int i = 0; i < AMX_PAIRS; i++, ahead.from += ahead.step) {
            __builtin_prefetch(ahead.from, 0, 3);
            __builtin_prefetch(ahead.from + 64, 0, 3);
        }
        KVP_TILE_LOAD(6, w, weight_stride);
        KVP_TILE_LOAD(7, w + 64, weight_stride);
        KVP_TILE_LOAD(4, x, row_stride);
        KVP_TILE_DOT(0, 4, 6);
        KVP_TILE_DOT(1, 4, 7);
        if (ROW_TILES > 1) {
            KVP_TILE_LOAD(5, x + 1024, row_stride);
            KVP_TILE_DOT(2, 5, 6);
            KVP_TILE_DOT(3, 5, 7);
        }
        w += AMX_PAIRS * 4 * PANEL;
        x += AMX_PAIRS * 4 * AMX_ROWS;
    }
    KVP_TILE_STORE(0, sums, sum_stride);
    KVP_TILE_STORE(1, sums + 16, sum_stride);
    if (ROW_TILES > 1) {
        KVP_TILE_STORE(2, sums + 16 * PANEL, sum_stride);
        KVP_TILE_STORE(3, sums + 16 * PANEL + 16, sum_stride);
    }
}

// Blocks in tiles.
struct TileBlocks {
    enum { ROWS = AMX_ROWS, PAIRS = AMX_PAIRS, PAIR_BYTES = 4 * PANEL };
    static void begin() { configure_tiles(); }
    static void end() { release_tiles(); }
    static int panels(int) { return 1; }
    static Block block(int rows, bool) { return rows > 16 ? multiply_tiles<2> : multiply_tiles<1>; }
};
