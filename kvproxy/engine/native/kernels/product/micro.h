// The block of the product: ROWS rows times the columns of PANELS panels, over some pairs of k, in registers.
#pragma once

// Weights that the caller will need next: a block asks for a part of them at each pair, so that they arrive while it
// computes. A block of many rows needs its own weights so slowly that the processor's own prefetch falls behind
// (measured, 12 rows from memory: 36 GB/s without, 55 with).
struct Ahead {
    const char* from;
    int64_t step;  // bytes from pair to pair
};

// sums: [row][panel][32] float32; the chain goes on from what they hold.
template <class Step, int ROWS, int PANELS>
static void multiply_block(float* sums, const char* x, const char* w, int64_t panel_stride, int64_t pairs,
                           Ahead ahead) {
    constexpr int IN_PANEL = PANELS > 1 ? (int)PANEL_VECTORS : block_vectors(ROWS);
    constexpr int VECTORS = IN_PANEL * PANELS;
    constexpr int VECTOR_BYTES = Step::VECTOR_BYTES;
    constexpr bool FETCHES = PANELS == 1;  // several panels are streams enough for the processor's own prefetch
    for (int first = 0; first < PANEL_VECTORS; first += IN_PANEL) {
        F32 acc[ROWS][VECTORS];
        KVP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            KVP_UNROLL
            for (int v = 0; v < VECTORS; v++) acc[r][v] = load(sums + (r * PANELS * PANEL_VECTORS + first + v) * L);
        }
        const char* xs = x;
        const char* ws = w + first * VECTOR_BYTES;
        const char* next = ahead.from + first * VECTOR_BYTES;
        for (int64_t p = 0; p < pairs; p++) {
            if (FETCHES) {
                for (int b = 0; b < Step::PAIR_BYTES * IN_PANEL / PANEL_VECTORS; b += 64) __builtin_prefetch(next + b, 0, 3);
                next += ahead.step;
            }
            Step::template run<VECTORS, ROWS>(acc, ws, xs, panel_stride, IN_PANEL);
            xs += Step::ROW_WORDS * 4 * BLOCK_ROWS;
            ws += Step::PAIR_BYTES;
        }
        KVP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            KVP_UNROLL
            for (int v = 0; v < VECTORS; v++) store(sums + (r * PANELS * PANEL_VECTORS + first + v) * L, acc[r][v]);
        }
    }
}

typedef void (*Block)(float* sums, const char* x, const char* w, int64_t panel_stride, int64_t pairs, Ahead ahead);

// Blocks in vector registers.
template <class Step>
struct VectorBlocks {
    enum { ROWS = BLOCK_ROWS, PAIRS = 1, PAIR_BYTES = Step::PAIR_BYTES };
    static void begin() {}
    static void end() {}
    // The panels that a block of so many rows should take at once.
    static int panels(int rows) { return rows <= BLOCK_ROWS ? block_panels(rows) : 1; }
    // The block of so many rows over one panel, or over as many as it should take.
    static Block block(int rows, bool wide) { return wide ? find<true>(rows) : find<false>(rows); }

    template <bool WIDE>
    static Block find(int rows) {
#define KVP_BLOCK(R) \
    case R: return multiply_block<Step, (R < BLOCK_ROWS ? R : BLOCK_ROWS), WIDE ? block_panels(R) : 1>
        switch (rows) {
            KVP_BLOCK(1);
            KVP_BLOCK(2);
            KVP_BLOCK(3);
            KVP_BLOCK(4);
            KVP_BLOCK(5);
            KVP_BLOCK(6);
            KVP_BLOCK(7);
            KVP_BLOCK(8);
            KVP_BLOCK(9);
            KVP_BLOCK(10);
            KVP_BLOCK(11);
        }
#undef KVP_BLOCK
        return multiply_block<Step, BLOCK_ROWS, 1>;
    }
};
