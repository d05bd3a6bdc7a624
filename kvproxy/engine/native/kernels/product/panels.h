// Weights in panels of 32 columns by pairs of k, made from rows of the same type.
#pragma once

KVP_INLINE int64_t panels_of(int64_t columns) { return (columns + PANEL - 1) / PANEL; }

KVP_INLINE int64_t weight_bytes(int dtype) { return dtype == F32_ ? 4 : 2; }

// Bytes of one pair of k in one panel.
KVP_INLINE int64_t panel_pair_bytes(int dtype) { return 2 * PANEL * weight_bytes(dtype); }

KVP_INLINE size_t panel_bytes(int dtype, int64_t width) {
    return (size_t)(pairs_of(width, dtype) * panel_pair_bytes(dtype));
}

KVP_INLINE size_t matrix_bytes(int dtype, int64_t columns, int64_t width) {
    return (size_t)panels_of(columns) * panel_bytes(dtype, width);
}

template <class Element, bool PAIRED>
static void pack_columns(Element* out, const void* const* rows, int64_t width, int64_t pairs) {
    const int64_t group = 32;  // of k: a cache line or two of each row at a time
    for (int64_t first = 0; first < 2 * pairs; first += group) {
        int64_t end = first + group < 2 * pairs ? first + group : 2 * pairs;
        for (int column = 0; column < PANEL; column++) {
            const Element* row = (const Element*)rows[column];
            for (int64_t k = first; k < end; k++) {
                Element value = row && k < width ? row[k] : (Element)0;
                out[(k / 2) * 2 * PANEL + (PAIRED ? 2 * column + (k & 1) : (k & 1) * PANEL + column)] = value;
            }
        }
    }
}

// Writes one panel of the matrix from 32 rows of weights in m.dtype (BF16, F16 or F32_), m.width elements each; a null
// row gives a column of zeros. Row c becomes column 32 * panel + c, so a caller can permute or fuse matrices.
static inline void pack_panel(const Matrix& m, void* panels, int64_t panel, const void* const* rows) {
    void* out = (char*)panels + (size_t)panel * panel_bytes(m.dtype, m.width);
    const int64_t pairs = pairs_of(m.width, m.dtype);
    if (m.dtype == BF16) pack_columns<uint16_t, true>((uint16_t*)out, rows, m.width, pairs);
    else if (m.dtype == F16) pack_columns<uint16_t, false>((uint16_t*)out, rows, m.width, pairs);
    else pack_columns<uint32_t, false>((uint32_t*)out, rows, m.width, pairs);
}

// The same from a row-major matrix [N][K] whose rows are row_stride elements apart.
static inline void pack_panel(const Matrix& m, void* panels, int64_t panel, const void* source, int64_t row_stride) {
    const void* rows[PANEL];
    for (int c = 0; c < PANEL; c++) {
        int64_t n = panel * PANEL + c;
        rows[c] = n < m.columns ? (const char*)source + n * row_stride * weight_bytes(m.dtype) : nullptr;
    }
    pack_panel(m, panels, panel, rows);
}
