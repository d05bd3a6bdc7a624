// The work of one tile's attention, planned once by one thread and used by every layer.
//
// A row's result is made of one partial result per page, merged in page order, so nothing here changes a row's bits:
// rows are put into blocks, blocks' pages into items, and rows of different sequences that name the same pages are
// computed together, only for speed. An item that has all pages of its rows merges as it goes and writes the output;
// the others keep a partial result per row and page, which a second phase merges.
#pragma once

enum {
    BLOCK_LINES = 48,  // lines of a block (rows x group); a single row's group may be more
    PAGE_COST = 8      // lines whose computing takes as long as reading a page
};

struct AttentionBlock {
    const int32_t* table;  // of the rows' common pages
    int first, rows;       // in `order`
};

struct AttentionItem { int block, page, end, whole; };  // pages [page, end) of the block

// Begins as zeros; its memory grows to the largest tile's and is kept. `rows`' arrays must outlive its use.
struct AttentionPlan {
    AttentionRows rows;
    int kv_heads, group, dim, threads;
    int blocks, items, split;  // split: rows whose partial results are merged by the second phase
    int32_t* order;            // the tile's rows, members of a block side by side
    int32_t* split_rows;
    int32_t* slot;             // of a split row's first partial result, else -1
    AttentionBlock* block;
    AttentionItem* item;
    float *page_largest, *page_weight;  // [slot][kv_heads * group]
    float* page_values;        // [slot][kv_heads * group][dim]
    char* worker;              // each thread's own memory
    size_t worker_bytes;
    void *lists, *work;
    size_t lists_bytes, work_bytes;
};

static int reserve(void** memory, size_t* have, size_t need) {
    if (need <= *have) return 0;
    __builtin_free(*memory);
    *have = need + need / 2;
    *memory = __builtin_malloc(*have);
    if (*memory == nullptr) *have = 0;
    return *memory == nullptr ? -1 : 0;
}
template <class E> static E* take(char*& from, int64_t count) {
    char* p = from + (-(uintptr_t)from & 63);
    from = p + count * (int64_t)sizeof(E);
    return (E*)p;
}

static void free_plan(AttentionPlan& p) {
    __builtin_free(p.lists);
    __builtin_free(p.work);
    p.lists = p.work = nullptr;
    p.lists_bytes = p.work_bytes = 0;
}

// Calls f(share, first, rows, end) for every block of rows: those in order[first, first + rows), which have no page
// behind `end`.
template <class F>
static inline void each_block(const AttentionPlan& p, const AttentionRun* run, const int32_t* by_run,
                              const AttentionShare* share, int shares, int block_rows, F f) {
    for (int i = 0; i < shares; i++) {
        const AttentionRun &a = run[by_run[share[i].first]], &z = run[by_run[share[i].last - 1]];
        for (int first = a.at; first < z.at + z.rows; first += block_rows) {
            int rows = z.at + z.rows - first, end = 0;
            rows = rows < block_rows ? rows : block_rows;
            for (int r = first; r < first + rows; r++) {
                int pages = p.rows.position[p.order[r]] / PAGE + 1;
                end = pages > end ? pages : end;
            }
            f(share[i], first, rows, end < share[i].end ? end : share[i].end);
        }
    }
}

KVP_INLINE int64_t padded_lines(int group) { return (BLOCK_LINES > group ? BLOCK_LINES : group) + SCORE_LINES; }

// 0, or -1 when there is no memory. `t` has been checked (check.h).
static int plan_attention(AttentionPlan& p, const AttentionRows& t, int kv_heads, int group, int dim, int threads) {
    p.rows = t, p.kv_heads = kv_heads, p.group = group, p.dim = dim, p.threads = threads;
    p.blocks = p.items = p.split = 0;
    const int n = t.rows, block_rows = group < BLOCK_LINES ? BLOCK_LINES / group : 1;
    const size_t lists = (size_t)n * (4 * sizeof(int32_t) + sizeof(AttentionRun) + 3 * sizeof(AttentionShare)) + 1024;
    if (reserve(&p.lists, &p.lists_bytes, lists)) return -1;
    char* m = (char*)p.lists;
    p.order = take<int32_t>(m, n), p.split_rows = take<int32_t>(m, n), p.slot = take<int32_t>(m, n);
    int32_t* by_run = take<int32_t>(m, n);
    AttentionRun* run = take<AttentionRun>(m, n);
    AttentionShare *share = take<AttentionShare>(m, 2 * n), *stack = take<AttentionShare>(m, n);
    int runs = find_runs(t, block_rows, run), shares = find_shares(run, runs, by_run, share, stack);
    for (int i = 0, at = 0; i < runs; i++) {
        AttentionRun& x = run[by_run[i]];
        x.at = at;
        for (int r = 0; r < x.rows; r++, at++) p.order[at] = x.first + r;
    }
    for (int r = 0; r < n; r++) p.slot[r] = -1;

    // A page costs a block its lines, and the reading of the page.
    int64_t cost = 0;
    each_block(p, run, by_run, share, shares, block_rows, [&](const AttentionShare& s, int, int rows, int end) {
        p.blocks++;
        cost += (int64_t)(end - s.page) * (rows * group + PAGE_COST);
    });
    const int64_t most = threads > 1 ? cost * kv_heads / (3 * threads) : cost;  // of an item
    auto whole = [&](const AttentionShare& s, int rows, int end) {
        return s.whole && (end == 1 || (int64_t)end * (rows * group + PAGE_COST) <= most);
    };
    auto chunk = [&](int rows) {  // pages of an item that is a part of its rows' pages
        int64_t pages = most / 3 / (rows * group + PAGE_COST);
        return (int)(pages < 1 ? 1 : pages > 8 ? 8 : pages);
    };
    int64_t slots = 0, items = 0;
    each_block(p, run, by_run, share, shares, block_rows, [&](const AttentionShare& s, int first, int rows, int end) {
        if (end <= s.page) return;
        if (whole(s, rows, end)) {
            items++;
            return;
        }
        items += (end - s.page + chunk(rows) - 1) / chunk(rows);
        for (int i = first; i < first + rows; i++) {
            int r = p.order[i];
            if (p.slot[r] >= 0) continue;
            p.slot[r] = (int32_t)slots;
            slots += t.position[r] / PAGE + 1;
            p.split_rows[p.split++] = r;
        }
    });
    const int64_t heads = (int64_t)kv_heads * group, lines = padded_lines(group);
    p.worker_bytes = (size_t)(lines * (2 * dim + 5) + SCORE_LINES * (2 * PAGE + dim)) * sizeof(float) + 1024;
    const size_t work = p.blocks * sizeof(AttentionBlock) + (size_t)items * sizeof(AttentionItem) +
                        (size_t)(slots * heads) * (2 + (size_t)dim) * sizeof(float) + threads * p.worker_bytes + 1024;
    if (reserve(&p.work, &p.work_bytes, work)) return -1;
    m = (char*)p.work;
    p.block = take<AttentionBlock>(m, p.blocks);
    p.item = take<AttentionItem>(m, items);
    p.page_largest = take<float>(m, slots * heads), p.page_weight = take<float>(m, slots * heads);
    p.page_values = take<float>(m, slots * heads * dim);
    p.worker = take<char>(m, 0);

    // Large items first, so that small ones fill the end: whole blocks from the last row to the first, then parts.
    int block = 0, wholes = 0;
    each_block(p, run, by_run, share, shares, block_rows, [&](const AttentionShare& s, int first, int rows, int end) {
        p.block[block++] = {run[by_run[s.first]].table, first, rows};
        wholes += end > s.page && whole(s, rows, end);
    });
    block = 0;
    p.items = wholes;
    each_block(p, run, by_run, share, shares, block_rows, [&](const AttentionShare& s, int, int rows, int end) {
        int b = block++;
        if (end <= s.page) return;
        if (whole(s, rows, end)) p.item[--wholes] = {b, 0, end, 1};
        else
            for (int page = s.page; page < end; page += chunk(rows))
                p.item[p.items++] = {b, page, page + chunk(rows) < end ? page + chunk(rows) : end, 0};
    });
    return 0;
}
