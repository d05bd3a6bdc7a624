// The check of a tile's page tables at the boundary: behind it no access leads out of the pool.
#pragma once

// 0, or -1 and the reason. `tables_length`: entries of `tables`; `pages`: pages of the pool, whose page 0 is not used.
static int check_rows(const AttentionRows& t, int tables_length, int pages, const char** reason) {
    int64_t table = -1, checked = 0;  // the entries of this table that are known to be good
    for (int r = 0; r < t.rows; r++) {
        if (t.position[r] < 0) return *reason = "a row's position is negative", -1;
        if (t.table[r] < 0) return *reason = "a row's page table begins before the tables", -1;
        if (t.table[r] != table) table = t.table[r], checked = 0;
        int64_t used = (int64_t)t.position[r] / PAGE + 1;
        if (table + used > tables_length) return *reason = "a row's position lies behind the end of its page table", -1;
        for (; checked < used; checked++) {
            int32_t page = t.tables[table + checked];
            if (page < 1 || page >= pages) return *reason = "a page table names a page that the pool does not have", -1;
        }
    }
    return 0;
}
