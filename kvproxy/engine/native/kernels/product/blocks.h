// The blocks of the product: how many rows and vectors of columns stand in registers at once. They decide the speed and
// the layout of PackedRows, never a bit: an element's sum is one chain over k whatever block it is computed in.
#pragma once

enum {
    PANEL_VECTORS = PANEL / L,
    // 24 accumulators of 32 registers, 12 of 16; the rest hold weights and a broadcast.
    ACCUMULATORS = REGISTERS == 32 ? 24 : 12,
    BLOCK_ROWS = L == 16 ? 12 : 6,
    BLOCK_VECTORS = ACCUMULATORS / BLOCK_ROWS,
    // Weights of one pass over k, of a panel: they and those of the next pass stay in the first cache.
#ifndef PASS
#define PASS 20
#define GROUP 4
#endif
    PASS_BYTES = PASS << 10,
    // Rows of a work item: their sums stand on the stack between passes.
    ITEM_ROWS = 384,
};
static_assert(ITEM_ROWS % BLOCK_ROWS == 0 && PANEL_VECTORS % BLOCK_VECTORS == 0, "blocks must fit");

// Vectors of a panel that a block of so many rows takes at once, and panels, when the weights are read only once.
constexpr int block_vectors(int rows) {
    int vectors = PANEL_VECTORS;
    while (vectors > 1 && vectors * rows > ACCUMULATORS) vectors /= 2;
    return vectors;
}
constexpr int block_panels(int rows) {
    int panels = 1;
    while (panels < 4 && 2 * panels * PANEL_VECTORS * rows <= ACCUMULATORS) panels *= 2;
    return panels;
}
