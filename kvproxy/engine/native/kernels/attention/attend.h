// Attention of a tile's rows over the pages of one layer: phases of one parallel region, by a plan (plan.h).
//
// What a row's bits are made of: scores of a page (scores.h), weights (weights.h), weighted values (values.h), and
// pages merged in their order (merge.h). Each is a fixed chain of operations per row; blocks, items and threads only
// choose where it runs. Keys of a row's own page are computed up to the group of 16 that the block's last row needs: a
// further key weighs 0 and adds nothing, since a page's memory holds finite values (see PagePool).
#pragma once
#include "check.h"
#include "elements.h"
#include "page_rows.h"
#include "scores.h"
#include "weights.h"
#include "values.h"
#include "merge.h"
#include "shares.h"
#include "plan.h"

// A thread's memory for one item.
struct AttentionMemory {
    float *q, *sums, *scores, *page_sums;  // [block of lines][dim][lines]; [lines][dim]; a block's: [PAGE], [dim]
    void* weights;
    float *largest, *weight, *a, *b;  // of each line (merge.h)
    int32_t* position;                // of a line's row
};

static AttentionMemory attention_memory(const AttentionPlan& plan, int thread) {
    char* m = plan.worker + thread * plan.worker_bytes;
    const int64_t lines = padded_lines(plan.group);
    AttentionMemory r;
    r.scores = take<float>(m, SCORE_LINES * PAGE);
    r.weights = take<float>(m, SCORE_LINES * PAGE);
    r.page_sums = take<float>(m, SCORE_LINES * plan.dim);
    r.q = take<float>(m, lines * plan.dim);
    r.sums = take<float>(m, lines * plan.dim);
    r.largest = take<float>(m, lines), r.weight = take<float>(m, lines);
    r.a = take<float>(m, lines), r.b = take<float>(m, lines);
    r.position = take<int32_t>(m, lines);
    return r;
}

KVP_INLINE int64_t line_offset(const AttentionPlan& plan, int row, int head, int g) {
    return (((int64_t)row * plan.kv_heads + head) * plan.group + g) * plan.dim;
}

// A block's queries as scores() reads them.
static void pack_queries(const AttentionPlan& plan, const int32_t* rows, int lines, int head, const float* q,
                         AttentionMemory& m) {
    const int dim = plan.dim;
    for (int first = 0; first < lines; first += SCORE_LINES) {
        int n = lines - first < SCORE_LINES ? lines - first : SCORE_LINES, width = score_block(n);
        const float* from[SCORE_LINES];
        for (int i = 0; i < width; i++) {
            int line = first + (i < n ? i : 0), row = rows[line / plan.group];
            from[i] = q + line_offset(plan, row, head, line % plan.group);
            m.position[line] = plan.rows.position[row];
        }
        float* to = m.q + (int64_t)first * dim;
        for (int c = 0; c < dim; c++)
            for (int i = 0; i < width; i++) *to++ = from[i][c];
    }
}

// Lines [first, first + n) of an item against one page. `next`: the keys of the item's next page, to be read ahead.
template <class T>
static void attend_page(const AttentionPlan& plan, const AttentionItem& item, const int32_t* rows, int head, int page,
                        const char* page_k, const char* page_v, const char* next, int first, int n,
                        AttentionMemory& m) {
    const int dim = plan.dim;
    int last = -1;  // the last key that any line sees
    for (int i = first; i < first + n; i++) last = m.position[i] > last ? m.position[i] : last;
    last -= page * PAGE;
    if (last < 0) return;
    const int count = last >= PAGE ? PAGE : (last / KEYS + 1) * KEYS;
    scores<T>(n, page_k, count, dim, m.q + (int64_t)first * dim, m.scores, first == 0 ? page_v : page_k);
    float largest[SCORE_LINES], weight[SCORE_LINES];
    for (int i = 0; i < n; i++) {
        const int own = m.position[first + i] - page * PAGE;
        char* to = (char*)m.weights + i * PAGE * (T::DOT ? sizeof(uint16_t) : sizeof(float));
        PageSum s = weigh<T>(m.scores + i * PAGE, count, own < 0 ? 0 : own, to);
        largest[i] = own < 0 ? -__builtin_inff() : s.largest;  // a line that sees nothing of this page
        weight[i] = own < 0 ? 0.0f : s.weight;
    }
    // Every line sees the first page; lines behind the last, which are computed too, are of the next block or spare.
    float* sums = item.whole && page == 0 ? m.sums + (int64_t)first * dim : m.page_sums;
    values<T>(n, page_v, count, dim, m.weights, sums, first == 0 ? next : page_v);
    if (item.whole && page == 0) {
        __builtin_memcpy(m.largest + first, largest, sizeof(float) * (size_t)n);
        __builtin_memcpy(m.weight + first, weight, sizeof(float) * (size_t)n);
        return;
    }
    if (item.whole) merge_weights(n, m.largest + first, m.weight + first, largest, weight, m.a, m.b);
    for (int i = 0; i < n; i++) {
        const int line = first + i;
        if (m.position[line] < page * PAGE) continue;
        if (item.whole) {
            merge_values(m.sums + (int64_t)line * dim, m.a[i], sums + (int64_t)i * dim, m.b[i], dim);
            continue;
        }
        int64_t slot = (int64_t)plan.slot[rows[line / plan.group]] + page;
        slot = (slot * plan.kv_heads + head) * plan.group + line % plan.group;
        plan.page_largest[slot] = largest[i];
        plan.page_weight[slot] = weight[i];
        __builtin_memcpy(plan.page_values + slot * dim, sums + (int64_t)i * dim, sizeof(float) * (size_t)dim);
    }
}

template <class T>
static void attend_item(const AttentionPlan& plan, const AttentionItem& item, int head, const LayerPages& p,
                        const float* q, float* out, AttentionMemory& m) {
    const AttentionBlock& b = plan.block[item.block];
    const int32_t* rows = plan.order + b.first;
    const int lines = b.rows * plan.group;
    pack_queries(plan, rows, lines, head, q, m);
    for (int page = item.page; page < item.end; page++) {
        const char *k = page_keys(p, head, b.table[page]), *v = page_values(p, head, b.table[page]);
        const char* next = page + 1 < item.end ? page_keys(p, head, b.table[page + 1]) : v;
        for (int first = 0; first < lines; first += SCORE_LINES) {
            int n = lines - first < SCORE_LINES ? lines - first : (int)SCORE_LINES;
            attend_page<T>(plan, item, rows, head, page, k, v, next, first, n, m);
        }
    }
    if (!item.whole) return;
    for (int i = 0; i < lines; i++)
        finish_line(m.weight[i], m.sums + (int64_t)i * plan.dim, plan.dim,
                    out + line_offset(plan, rows[i / plan.group], head, i % plan.group));
}

// The pages of a split row's lines of one KV head, merged.
static void merge_row(const AttentionPlan& plan, int row, int head, float* out, AttentionMemory& m) {
    const int64_t heads = (int64_t)plan.kv_heads * plan.group;
    const int pages = plan.rows.position[row] / PAGE + 1, dim = plan.dim, n = plan.group;
    int64_t at = plan.slot[row] * heads + (int64_t)head * n;
    __builtin_memcpy(m.largest, plan.page_largest + at, sizeof(float) * (size_t)n);
    __builtin_memcpy(m.weight, plan.page_weight + at, sizeof(float) * (size_t)n);
    __builtin_memcpy(m.sums, plan.page_values + at * dim, sizeof(float) * (size_t)n * (size_t)dim);
    for (int page = 1; page < pages; page++) {
        at += heads;
        merge_weights(n, m.largest, m.weight, plan.page_largest + at, plan.page_weight + at, m.a, m.b);
        for (int i = 0; i < n; i++)
            merge_values(m.sums + (int64_t)i * dim, m.a[i], plan.page_values + (at + i) * dim, m.b[i], dim);
    }
    for (int i = 0; i < n; i++)
        finish_line(m.weight[i], m.sums + (int64_t)i * dim, dim, out + line_offset(plan, row, head, i));
}

static void attend(const Worker& w, const AttentionPlan& plan, const LayerPages& p, int, const float* q, float* out) {
    AttentionMemory m = attention_memory(plan, w.index);
    share_out(w, plan.items * plan.kv_heads, [&](int i) {
        const AttentionItem& item = plan.item[i / plan.kv_heads];
        const int head = i % plan.kv_heads;
        if (p.dtype == BF16) attend_item<Bf16Pairs>(plan, item, head, p, q, out, m);
        else if (p.dtype == F16) attend_item<F16Pairs>(plan, item, head, p, q, out, m);
        else attend_item<F32Pairs>(plan, item, head, p, q, out, m);
    });
    if (plan.split == 0) return;
    share_out(w, plan.split * plan.kv_heads, [&](int i) {
        merge_row(plan, plan.split_rows[i / plan.kv_heads], i % plan.kv_heads, out, m);
    });
}
