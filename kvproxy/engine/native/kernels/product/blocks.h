// The blocks of the product: how many rows and vectors of columns stand in registers at once. They decide the speed and
// the layout of PackedRows, never a bit: an element's sum is one chain over k whatever block it is computed in.
#pragma once

// Whether bf16 weights are multiplied by AMX tiles.
#if defined(KVP_AMX)
#define KVP_TILES 1
#else
#define KVP_TILES 0
#endif

enum {
    PANEL_VECTORS = PANEL / L,
    // 24 accumulators of 32 registers, 12 of 16; the rest hold weights and a broadcast.
    ACCUMULATORS = REGISTERS == 32 ? 24 : 12,
    BLOCK_ROWS = L == 16 ? 12 : 6,
    BLOCK_VECTORS = ACCUMULATORS / BLOCK_ROWS,
    // Blocks by AMX tiles: rows, and pairs of k of one step.
    AMX_ROWS = 32,
    AMX_PAIRS = 16,
    // Weights of one pass over k, of a panel: they and those of the next pass stay in the first cache.
    PASS_BYTES = 10 << 10,
    // Most panels that a block takes at once, and up to how many rows: measured from memory, 1 row of K = 2560, 80 GB/s
    // against 73 by single panels; but 4 rows 65 against 72.
    MOST_PANELS = 4,
    WIDE_ROWS = 2,
    // Most panels of a work item of few rows: weights are then read in long runs.
    ITEM_PANELS = 8,
    // Rows of a work item: their sums stand on the stack between passes.
    ITEM_ROWS = 384,
};
static_assert(ITEM_ROWS % BLOCK_ROWS == 0 && ITEM_ROWS % AMX_ROWS == 0 && PANEL_VECTORS % BLOCK_VECTORS == 0,
              "blocks must fit");

// Vectors of a panel that a block of so many rows takes at once, and panels, when the weights are read only once.
constexpr int block_vectors(int rows) {
    int vectors = PANEL_VECTORS;
    while (vectors > 1 && vectors * rows > ACCUMULATORS) vectors /= 2;
    return vectors;
}
constexpr int block_panels(int rows) {
    int panels = 1;
    while (rows <= WIDE_ROWS && panels < MOST_PANELS && 2 * panels * PANEL_VECTORS * rows <= ACCUMULATORS) panels *= 2;
    return panels;
}
