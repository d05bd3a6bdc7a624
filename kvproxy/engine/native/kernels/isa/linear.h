// Single products as work for a team: packing a matrix, and rows times a matrix.
#pragma once

struct PackTask {
    const Matrix* matrix;
    void* panels;
    const void* const* rows;  // one for each column, whole panels of them; null: zeros
};

static inline void pack_task(kvp_team* team, int index, void* data) {
    const PackTask& t = *(const PackTask*)data;
    Worker w = {team, index};
    share_out(w, (int)((t.matrix->columns + PANEL - 1) / PANEL), [&](int panel) {
        pack_panel(*t.matrix, t.panels, panel, t.rows + (int64_t)panel * PANEL);
    });
}

static inline void pack_matrix(const Matrix* matrix, void* panels, const void* const* rows, int threads) {
    PackTask task = {matrix, panels, rows};
    kvp_team_run(threads, pack_task, &task);
}

struct LinearTask {
    const Matrix* matrix;
    const void* x;
    int dtype, rows;
    char* scratch;
    float* y;
};

KVP_INLINE size_t linear_row_bytes(const Matrix& m) { return ((size_t)m.width * sizeof(float) + 127) / 64 * 64; }

static inline size_t linear_scratch_bytes(const Matrix* m, int rows, int threads) {
    return (size_t)threads * linear_row_bytes(*m) + packed_rows_bytes(rows, m->width, m->dtype);
}

static inline void linear_task(kvp_team* team, int index, void* data) {
    const LinearTask& t = *(const LinearTask*)data;
    const Matrix& m = *t.matrix;
    Worker w = {team, index};
    float* own = (float*)(t.scratch + (size_t)index * linear_row_bytes(m));
    PackedRows packed = {t.scratch + (size_t)team_size(team) * linear_row_bytes(m), m.width, m.dtype};
    share_out(w, t.rows, [&](int row) {
        widen_row(t.x, t.dtype, row, (int)m.width, own);
        pack_slice(packed, row, 0, own, (int)m.width);
    });
    product(w, m, packed, t.rows, [&](int row, int64_t column, const float* y) {
        int64_t left = m.columns - column;
        __builtin_memcpy(t.y + row * m.columns + column, y, sizeof(float) * (size_t)(left < PANEL ? left : (int64_t)PANEL));
    });
}

// Everything was checked. y: [rows][columns].
static inline void linear(const Matrix* m, const void* x, int dtype, int rows, void* scratch, float* y, int threads) {
    LinearTask task = {m, x, dtype, rows, (char*)scratch, y};
    kvp_team_run(threads, linear_task, &task);
}
