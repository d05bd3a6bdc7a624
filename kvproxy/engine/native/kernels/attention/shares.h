// Rows of a tile that attend to the same pages, found by comparing page tables.
#pragma once

// Consecutive rows of one sequence, and pages [page, end) of runs [first, last), which all of them name.
struct AttentionRun { const int32_t* table; int first, rows, pages, joins, at; };
struct AttentionShare { int first, last, page, end, whole; };

// Runs of rows that stand together; runs of few rows may join others that name the same pages.
static int find_runs(const AttentionRows& t, int block_rows, AttentionRun* run) {
    int runs = 0;
    for (int r = 0; r < t.rows; r++) {
        if (runs == 0 || t.table[r] != t.table[r - 1]) run[runs++] = {t.tables + t.table[r], r, 0, 0, 0, 0};
        AttentionRun& last = run[runs - 1];
        int pages = t.position[r] / PAGE + 1;
        last.pages = pages > last.pages ? pages : last.pages;
        last.joins = ++last.rows < block_rows;
    }
    return runs;
}

// Puts those of by_run[first, last) that name the same page as the first to the front; how many they are.
static int gather(const AttentionRun* run, int32_t* by_run, int first, int last, int page) {
    int n = first;
    for (int i = first; i < last; i++) {
        if (run[by_run[i]].table[page] != run[by_run[first]].table[page]) continue;
        int32_t x = by_run[i];
        by_run[i] = by_run[n];
        by_run[n++] = x;
    }
    return n;
}

// The pages that runs share, as a tree over page tables: a share's runs are side by side in by_run, and each share
// further down has a part of them, so that reordering that part leaves the share as it was.
static int find_shares(const AttentionRun* run, int runs, int32_t* by_run, AttentionShare* share,
                       AttentionShare* stack) {
    int shares = 0, depth = 0, joining = 0;
    for (int i = 0; i < runs; i++)
        if (run[i].joins) by_run[joining++] = i;
    for (int i = 0, n = joining; i < runs; i++) {
        if (run[i].joins) continue;
        by_run[n] = i;
        share[shares++] = {n, n + 1, 0, run[i].pages, 1};
        n++;
    }
    if (joining) stack[depth++] = {0, joining, 0, 0, 1};
    while (depth) {
        AttentionShare s = stack[--depth];  // runs that have a page s.page, not all the same
        for (int first = s.first; first < s.last;) {
            int last = gather(run, by_run, first, s.last, s.page), end = s.page, ended = 0;
            while (!ended) {
                end++;
                int same = 1;
                for (int i = first; i < last; i++) {
                    const AttentionRun& x = run[by_run[i]];
                    if (x.pages == end) ended++;
                    else if (ended == 0) same &= x.table[end] == run[by_run[first]].table[end];
                }
                if (!same) break;
            }
            share[shares++] = {first, last, s.page, end, s.page == 0 && ended == last - first};
            if (ended < last - first) {
                int n = first;  // those that end here go to the front
                for (int i = first; ended && i < last; i++) {
                    if (run[by_run[i]].pages != end) continue;
                    int32_t x = by_run[i];
                    by_run[i] = by_run[n];
                    by_run[n++] = x;
                }
                stack[depth++] = {n, last, end, 0, 0};
            }
            first = last;
        }
    }
    return shares;
}
