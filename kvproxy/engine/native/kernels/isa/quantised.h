// Packing of a quantised matrix, and reading of quantised rows, as work for a team.
#pragma once

struct PackQuantisedTask {
    const Matrix* matrix;
    char* memory;
    const uint8_t* const* rows;
};

static inline void pack_quantised_task(kvp_team* team, int index, void* data) {
    const PackQuantisedTask& t = *(const PackQuantisedTask*)data;
    Worker w = {team, index};
    share_out(w, (int)((t.matrix->columns + PANEL - 1) / PANEL), [&](int panel) {
        const quantised::PanelEntry& e = ((const quantised::PanelEntry*)t.memory)[panel];
        quantised::pack_panel(t.memory + e.offset, e.kind, t.matrix->width, t.rows + (int64_t)panel * PANEL);
    });
}

static inline void pack_quantised(const Matrix* matrix, void* memory, const uint8_t* const* rows, int threads) {
    PackQuantisedTask task = {matrix, (char*)memory, rows};
    kvp_team_run(threads, pack_quantised_task, &task);
}

struct ReadQuantisedTask {
    const uint8_t* blocks;
    int64_t row_bytes, rows, width;
    int kind;
    float* out;
};

static inline void read_quantised_task(kvp_team* team, int index, void* data) {
    const ReadQuantisedTask& t = *(const ReadQuantisedTask*)data;
    Worker w = {team, index};
    share_out(w, (int)t.rows, [&](int row) {
        quantised::read_row(t.out + row * t.width, t.kind, t.width, t.blocks + row * t.row_bytes);
    });
}

static inline void read_quantised(const void* blocks, int64_t row_bytes, int kind, int64_t rows, int64_t width, float* out,
                                  int threads) {
    ReadQuantisedTask task = {(const uint8_t*)blocks, row_bytes, rows, width, kind, out};
    kvp_team_run(threads, read_quantised_task, &task);
}
