// Products of a tile's rows with a weight matrix, shared out over a team: the contract at the end of packed.h.
//
// Invariant: the sum of an element is one chain over k, in steps of weights.h, that starts from 0, with the bias added
// last. It may be interrupted (the sums are then kept in float32, without loss) but is never split: number of rows,
// blocks, passes, items and threads decide only when and where its steps run.
#pragma once
#include "packed.h"

#include "../quantised/quantised.h"

#include "blocks.h"
#include "packed_rows.h"
#include "panels.h"
#include "weights.h"

#include "micro.h"
#if KVP_TILES
#include "amx_tiles.h"
#include "micro_amx.h"
typedef TileBlocks Bf16Blocks;
#elif KVP_PAIR_DOT
typedef VectorBlocks<StepByPairDot> Bf16Blocks;
#else
typedef VectorBlocks<StepByFma<LoadBf16>> Bf16Blocks;
#endif

KVP_INLINE void add_bias(float* sums, const float* bias) {
    for (int v = 0; v < PANEL; v += L) store(sums + v, add(load(sums + v), load(bias + v)));
}

// Tells an epilogue that has `expect(row, column)` which of its memory it will soon touch.
template <class Epilogue>
KVP_INLINE auto announce(Epilogue& e, int row, int rows, int64_t panel, int panels, int) -> decltype(e.expect(0, 0)) {
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < rows; r++) e.expect(row + r, (panel + p) * PANEL);
}
template <class Epilogue>
KVP_INLINE void announce(Epilogue&, int, int, int64_t, int, long) {}

template <class Epilogue>
static void hand_over(float* sums, int row, int rows, int64_t panel, int panels, const Matrix& m, Epilogue& e) {
    for (int p = 0; p < panels; p++) {
        int64_t column = (panel + p) * PANEL;
        for (int r = 0; r < rows; r++) {
            float* y = sums + (r * panels + p) * PANEL;
            if (m.bias) add_bias(y, m.bias + column);
            e(row + r, column, (const float*)y);
        }
    }
}

// A work item: some panels, all of k, and some rows, of which the first is a multiple of a block's rows.
struct Item {
    int64_t panel, next;  // next: the panel that this thread will probably come to after this item
    int panels, row, rows;
};

// One group of `together` panels of an item. k goes by in passes, and in a pass all blocks of rows go by; each of them
// fetches its share of the weights of the pass that follows, the last pass those of panel `next`.
template <class Blocks, class Epilogue>
static void product_of_panels(const Matrix& m, const PackedRows& x, const Item& item, int64_t panel, int together,
                              int64_t next, Epilogue& e) {
    const int64_t pairs = pairs_of(m.width, m.dtype), stride = pairs * Blocks::PAIR_BYTES;
    const int64_t most = together > 1 ? pairs : PASS_BYTES / Blocks::PAIR_BYTES, passes = (pairs + most - 1) / most;
    const int64_t each = ((pairs + passes - 1) / passes + Blocks::PAIRS - 1) / Blocks::PAIRS * Blocks::PAIRS;
    const int blocks = (item.rows + Blocks::ROWS - 1) / Blocks::ROWS, last = item.rows - (blocks - 1) * Blocks::ROWS;
    const Block whole = Blocks::block(Blocks::ROWS, false), end = Blocks::block(last, together > 1);
    const char* weights = (const char*)m.panels;
    alignas(64) float sums[ITEM_ROWS * PANEL];
    __builtin_memset(sums, 0, sizeof(float) * (size_t)(blocks * Blocks::ROWS * together * PANEL));
    for (int64_t p = 0; p < pairs; p += each) {
        const int64_t n = pairs - p < each ? pairs - p : each;
        const bool ends = p + n == pairs;
        const char* w = weights + panel * stride + p * Blocks::PAIR_BYTES;
        Ahead ahead = {ends ? weights + next * stride : w + n * Blocks::PAIR_BYTES, Blocks::PAIR_BYTES / blocks};
        for (int b = 0; b < blocks; b++, ahead.from += n * ahead.step) {
            const int row = b * Blocks::ROWS;
            if (ends) announce(e, item.row + row, b < blocks - 1 ? (int)Blocks::ROWS : last, panel, together, 0);
            Block block = b < blocks - 1 ? whole : end;
            block(sums + row * PANEL, block_of(x, item.row / Blocks::ROWS + b, p), w, stride, n, ahead);
        }
    }
    hand_over(sums, item.row, item.rows, panel, together, m, e);
}

template <class Blocks, class Epilogue>
static void product_of_item(const Matrix& m, const PackedRows& x, const Item& item, Epilogue& e) {
    const int wide = Blocks::panels(item.rows);
    for (int done = 0; done < item.panels;) {
        const int left = item.panels - done, n = left >= wide ? wide : 1;
        product_of_panels<Blocks>(m, x, item, item.panel + done, n, left > n ? item.panel + done + n : item.next, e);
        done += n;
    }
}

// Items small enough for some four a thread, and large enough that weights are read in long runs.
template <class Blocks, class Epilogue>
static void product_by(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    const int panels = (int)panels_of(m.columns), threads = w.team->threads;
    const int blocks = (rows + Blocks::ROWS - 1) / Blocks::ROWS;
    int group = 1, parts = (rows + ITEM_ROWS - 1) / ITEM_ROWS;
    while (group < ITEM_PANELS && blocks <= 2 && panels >= 8 * group * threads) group *= 2;
    while (parts * 4 < blocks && panels * parts < 4 * threads) parts++;
    const int part_rows = (blocks + parts - 1) / parts * Blocks::ROWS;
    parts = (rows + part_rows - 1) / part_rows;
    const int groups = (panels + group - 1) / group;
    Blocks::begin();
    share_out(w, groups * parts, [&](int i) {
        const int row = i % parts * part_rows, panel = i / parts * group, next = (i + threads) / parts * group;
        Item item = {panel, next < panels ? next : panel, panels - panel < group ? panels - panel : group, row,
                     rows - row < part_rows ? rows - row : part_rows};
        product_of_item<Blocks>(m, x, item, e);
    });
    Blocks::end();
}

template <class Epilogue>
static void product(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    if (m.dtype == QUANTISED) return quantised::product(w, m, x, rows, e);
    if (m.dtype == BF16) product_by<Bf16Blocks>(w, m, x, rows, e);
    else if (m.dtype == F16) product_by<VectorBlocks<StepByFma<LoadF16>>>(w, m, x, rows, e);
    else product_by<VectorBlocks<StepByFma<LoadF32>>>(w, m, x, rows, e);
}
