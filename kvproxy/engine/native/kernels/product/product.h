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

// A work item: some panels, all of k, and some rows, of which the first is a multiple of BLOCK_ROWS.
struct Item {
    int64_t panel, next;  // next: the panel that this thread will probably come to after this item
    int panels, row, rows;
};

// One group of `together` panels of an item. k goes by in passes, and in a pass all blocks of rows go by; each of them
// fetches its share of the weights of the pass that follows, the last pass those of panel `next`.
template <class Step, class Epilogue>
static void product_of_panels(const Matrix& m, const PackedRows& x, const Item& item, int64_t panel, int together,
                              int64_t next, Epilogue& e) {
    const int64_t pairs = pairs_of(m.width), stride = pairs * Step::PAIR_BYTES;
    const int64_t most = together > 1 ? pairs : PASS_BYTES / Step::PAIR_BYTES, passes = (pairs + most - 1) / most;
    const int64_t each = (pairs + passes - 1) / passes;
    const int blocks = (item.rows + BLOCK_ROWS - 1) / BLOCK_ROWS, last = item.rows - (blocks - 1) * BLOCK_ROWS;
    const Block whole = block_for<Step, false>(BLOCK_ROWS);
    const Block end = together > 1 ? block_for<Step, true>(last) : block_for<Step, false>(last);
    const char* weights = (const char*)m.panels;
    alignas(64) float sums[ITEM_ROWS * PANEL];
    __builtin_memset(sums, 0, sizeof(float) * (size_t)(item.rows * together * PANEL));
    for (int64_t p = 0; p < pairs; p += each) {
        const int64_t n = pairs - p < each ? pairs - p : each;
        const bool ends = p + n == pairs;
        const char* w = weights + panel * stride + p * Step::PAIR_BYTES;
        Ahead ahead = {ends ? weights + next * stride : w + n * Step::PAIR_BYTES, Step::PAIR_BYTES / blocks};
        for (int b = 0; b < blocks; b++, ahead.from += n * ahead.step) {
            const int row = b * BLOCK_ROWS;
            if (ends) announce(e, item.row + row, b < blocks - 1 ? (int)BLOCK_ROWS : last, panel, together, 0);
            Block block = b < blocks - 1 ? whole : end;
            block(sums + row * PANEL, block_of(x, item.row / BLOCK_ROWS + b, p), w, stride, n, ahead);
        }
    }
    hand_over(sums, item.row, item.rows, panel, together, m, e);
}

template <class Step, class Epilogue>
static void product_of_item(const Matrix& m, const PackedRows& x, const Item& item, Epilogue& e) {
    const int wide = item.rows <= BLOCK_ROWS ? block_panels(item.rows) : 1;
    for (int done = 0; done < item.panels;) {
        const int left = item.panels - done, n = left >= wide ? wide : 1;
        product_of_panels<Step>(m, x, item, item.panel + done, n, left > n ? item.panel + done + n : item.next, e);
        done += n;
    }
}

// Items small enough for some four a thread, and large enough that weights are read in long runs.
template <class Step, class Epilogue>
static void product_by(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    const int panels = (int)panels_of(m.columns), threads = w.team->threads;
    const int blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int group = 1, parts = (rows + ITEM_ROWS - 1) / ITEM_ROWS;
    while (group < GROUP && blocks <= 2 && panels >= 8 * group * threads) group *= 2;
    while (parts * 4 < blocks && panels * parts < 4 * threads) parts++;
    const int part_rows = (blocks + parts - 1) / parts * BLOCK_ROWS;
    parts = (rows + part_rows - 1) / part_rows;
    const int groups = (panels + group - 1) / group;
    share_out(w, groups * parts, [&](int i) {
        const int row = i % parts * part_rows, panel = i / parts * group, next = (i + threads) / parts * group;
        product_of_item<Step>(m, x, {panel, next < panels ? next : panel, panels - panel < group ? panels - panel : group, row,
                                     rows - row < part_rows ? rows - row : part_rows}, e);
    });
}

template <class Epilogue>
static void product(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    if (m.dtype == QUANTISED) return quantised::product(w, m, x, rows, e);
    if (m.dtype == BF16) product_by<StepBf16>(w, m, x, rows, e);
    else if (m.dtype == F16) product_by<StepF16>(w, m, x, rows, e);
    else product_by<StepF32>(w, m, x, rows, e);
}
