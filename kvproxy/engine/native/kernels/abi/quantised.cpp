// Quantised matrices behind the C interface: made from rows of blocks, in any order.
#include "errors.h"
#include "matrix.h"
#include <stdlib.h>

using namespace kvproxy;

namespace {

#include "../quantised/formats.h"
#include "../quantised/blocks.h"

const int64_t MOST = 1 << 24;

int check_source(const kvp_block_rows& s, int64_t width) {
    int format = format_of_kind(s.kind);
    if (format < 0) return kvp_fail(KVP_UNSUPPORTED, "quantised rows of kind %d", (int)s.kind);
    if (!width_fits(format, width)) {
        return kvp_fail(KVP_UNSUPPORTED, "rows of %lld weights are not whole blocks of kind %d", (long long)width, (int)s.kind);
    }
    if (!s.data || s.rows < 1 || s.rows > MOST || s.row_bytes < kind_row_bytes(s.kind, width) || s.row_bytes > MOST * 4) {
        return kvp_fail(KVP_BAD_ARGUMENT, "%lld quantised rows, %lld bytes apart", (long long)s.rows, (long long)s.row_bytes);
    }
    return KVP_OK;
}

// Each column's row and kind; null and 0 for a column of zeros.
int find_rows(const kvp_block_rows* sources, int32_t count, const int32_t* order, int64_t columns, const uint8_t** rows,
              int32_t* kinds) {
    int64_t given = 0;
    for (int32_t i = 0; i < count; i++) given += sources[i].rows;
    if (!order && given != columns) {
        return kvp_fail(KVP_BAD_ARGUMENT, "%lld rows were given for %lld columns", (long long)given, (long long)columns);
    }
    for (int64_t c = 0; c < columns; c++) {
        int64_t row = order ? order[c] : c;
        if (row == -1) continue;
        if (row < 0 || row >= given) {
            return kvp_fail(KVP_BAD_ARGUMENT, "column %lld: there is no row %lld of %lld", (long long)c, (long long)row,
                            (long long)given);
        }
        const kvp_block_rows* s = sources;
        for (; row >= s->rows; s++) row -= s->rows;
        rows[c] = (const uint8_t*)s->data + row * s->row_bytes;
        kinds[c] = s->kind;
    }
    return KVP_OK;
}

// Where each panel lies; returns the bytes of all, or a code below 0. A panel of zeros alone has the kind `other`.
int64_t lay_out(PanelEntry* entries, int64_t panels, int64_t width, const int32_t* kinds, int32_t other) {
    int64_t at = (panels * (int64_t)sizeof(PanelEntry) + 63) / 64 * 64;
    for (int64_t p = 0; p < panels; p++) {
        int32_t kind = 0;
        for (int c = 0; c < PANEL; c++) {
            int32_t own = kinds[p * PANEL + c];
            if (kind && own && own != kind) {
                return kvp_fail(KVP_UNSUPPORTED, "columns %lld to %lld have weights of kinds %d and %d",
                                (long long)(p * PANEL), (long long)(p * PANEL + PANEL), (int)kind, (int)own);
            }
            kind = kind ? kind : own;
        }
        kind = kind ? kind : other;
        entries[p] = {at, format_of_kind(kind), kind};
        at += (panel_bytes(format_of_kind(kind), width) + 63) / 64 * 64;
    }
    return at;
}

struct kvp_matrix* make(int64_t columns, int64_t width, const kvp_block_rows* sources, int32_t count,
                        const int32_t* order, const float* bias, int32_t threads, const uint8_t** rows, int32_t* kinds,
                        PanelEntry* entries) {
    int64_t panels = (columns + PANEL - 1) / PANEL;
    if (find_rows(sources, count, order, columns, rows, kinds)) return nullptr;
    int64_t bytes = lay_out(entries, panels, width, kinds, sources[0].kind);
    if (bytes < 0) return nullptr;
    kvp_matrix* made = kvp_matrix_allocate(QUANTISED, columns, width, (size_t)bytes, bias);
    if (!made) return nullptr;
    __builtin_memcpy(made->memory, entries, (size_t)panels * sizeof(PanelEntry));
    kvp_kernels_in_use()->pack_quantised(&made->matrix, made->memory, rows, threads);
    return made;
}

}  // namespace

bool kvp_table_fits(int dtype, int64_t width) {
    if (dtype < BLOCKS) return dtype == BF16 || dtype == F16 || dtype == F32_;
    int format = format_of_kind(dtype - BLOCKS);
    return format >= 0 && width_fits(format, width);
}

KVP_API struct kvp_matrix* kvp_matrix_new_quantised(int64_t columns, int64_t width, const kvp_block_rows* sources,
                                                    int32_t count, const int32_t* order, const float* bias,
                                                    int32_t threads) {
    if (columns < 1 || columns > MOST || width < 1 || width > MOST || !sources || count < 1 || count > 64) {
        kvp_fail(KVP_BAD_ARGUMENT, "a quantised matrix of %lld x %lld from %d sources", (long long)columns,
                 (long long)width, (int)count);
        return nullptr;
    }
    if (kvp_check_threads(threads)) return nullptr;
    for (int32_t i = 0; i < count; i++) {
        if (check_source(sources[i], width)) return nullptr;
    }
    // Whole panels: what stands behind the columns is a column of zeros.
    size_t padded = (size_t)((columns + PANEL - 1) / PANEL * PANEL);
    const uint8_t** rows = (const uint8_t**)calloc(padded, sizeof(uint8_t*));
    int32_t* kinds = (int32_t*)calloc(padded, sizeof(int32_t));
    PanelEntry* entries = (PanelEntry*)calloc(padded / PANEL, sizeof(PanelEntry));
    kvp_matrix* made = nullptr;
    if (rows && kinds && entries) {
        made = make(columns, width, sources, count, order, bias, threads, rows, kinds, entries);
    } else {
        kvp_fail(KVP_NO_MEMORY, "no memory for a matrix of %lld x %lld", (long long)columns, (long long)width);
    }
    free(rows);
    free(kinds);
    free(entries);
    return made;
}

KVP_API int kvp_read_quantised(const kvp_block_rows* source, int64_t width, float* out, int32_t threads) {
    if (!source || !out || width < 1 || width > MOST) return kvp_fail(KVP_BAD_ARGUMENT, "quantised rows are missing");
    if (int e = kvp_check_threads(threads)) return e;
    if (int e = check_source(*source, width)) return e;
    kvp_kernels_in_use()->read_quantised(source->data, source->row_bytes, source->kind, source->rows, width, out, threads);
    return KVP_OK;
}
