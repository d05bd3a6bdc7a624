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

// At most BLOCK_ROWS rows: all of k in one go, several panels at once where there are few rows.
template <class Step, class Epilogue>
static void product_of_block(const Matrix& m, const PackedRows& x, int rows, int64_t panel, int panels, Epilogue& e) {
    const int64_t pairs = pairs_of(m.width), stride = pairs * Step::PAIR_BYTES;
    const int wide = block_panels(rows);
    alignas(64) float sums[BLOCK_ROWS * PANEL * 4];
    while (panels > 0) {
        const int n = panels >= wide ? wide : 1;
        __builtin_memset(sums, 0, sizeof(float) * (size_t)(rows * n * PANEL));
        Block block = n > 1 ? block_for<Step, true>(rows) : block_for<Step, false>(rows);
        block(sums, block_of(x, 0, 0), (const char*)m.panels + panel * stride, stride, pairs);
        hand_over(sums, 0, rows, panel, n, m, e);
        panel += n;
        panels -= n;
    }
}

// Rows [first, first + rows), first a multiple of BLOCK_ROWS, at most ITEM_ROWS rows, times one panel: in passes over k,
// so that the weights of a pass stay in the first cache while the rows go by.
template <class Step, class Epilogue>
static void product_of_rows(const Matrix& m, const PackedRows& x, int first, int rows, int64_t panel, Epilogue& e) {
    const int64_t pairs = pairs_of(m.width), stride = pairs * Step::PAIR_BYTES;
    alignas(64) float sums[ITEM_ROWS * PANEL];
    __builtin_memset(sums, 0, sizeof(float) * (size_t)(rows * PANEL));
    const int last = rows % BLOCK_ROWS;
    const Block whole = block_for<Step, false>(BLOCK_ROWS), part = block_for<Step, false>(last);
    const char* weights = (const char*)m.panels + panel * stride;
    for (int64_t p = 0; p < pairs; p += PASS_PAIRS) {
        const int64_t n = pairs - p < PASS_PAIRS ? pairs - p : (int64_t)PASS_PAIRS;
        const char* w = weights + p * Step::PAIR_BYTES;
        int r = 0;
        for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
            whole(sums + r * PANEL, block_of(x, (first + r) / BLOCK_ROWS, p), w, stride, n);
        if (last) part(sums + r * PANEL, block_of(x, (first + r) / BLOCK_ROWS, p), w, stride, n);
    }
    hand_over(sums, first, rows, panel, 1, m, e);
}

template <class Step, class Epilogue>
static void product_by(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    const int panels = (int)panels_of(m.columns), threads = w.team->threads;
    if (rows <= BLOCK_ROWS) {
        // Panels of an item: as many as a block takes, yet some four items a thread, for balance.
        int each = block_panels(rows);
        while (each > 1 && panels < 4 * each * threads) each /= 2;
        share_out(w, (panels + each - 1) / each, [&](int i) {
            int panel = i * each;
            product_of_block<Step>(m, x, rows, panel, panels - panel < each ? panels - panel : each, e);
        });
        return;
    }
    // Rows of an item: all that fit, or fewer where there would be less than four items a thread.
    const int blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int parts = (rows + ITEM_ROWS - 1) / ITEM_ROWS;
    while (parts * 4 < blocks && panels * parts < 4 * threads) parts++;
    const int each = (blocks + parts - 1) / parts * BLOCK_ROWS;
    parts = (rows + each - 1) / each;
    share_out(w, panels * parts, [&](int i) {
        int first = i % parts * each;
        product_of_rows<Step>(m, x, first, rows - first < each ? rows - first : each, i / parts, e);
    });
}

template <class Epilogue>
static void product(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    if (m.dtype == QUANTISED) return quantised::product(w, m, x, rows, e);
    if (m.dtype == BF16) product_by<StepBf16>(w, m, x, rows, e);
    else if (m.dtype == F16) product_by<StepF16>(w, m, x, rows, e);
    else product_by<StepF32>(w, m, x, rows, e);
}
