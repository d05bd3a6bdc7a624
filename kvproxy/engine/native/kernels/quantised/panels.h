// Writing of quantised panels from 32 rows of blocks, and reading of rows as float32.
#pragma once

static inline void put_half(uint8_t* p, int column, uint16_t bits) { __builtin_memcpy(p + 2 * column, &bits, 2); }

// The bits of 32 columns' group: q is [column][quad].
template <class F> static inline void write_bits(uint8_t* p, const uint32_t (*q)[QUADS]) {
    uint32_t word;
    auto put = [&](int64_t row, int column) { __builtin_memcpy(p + row * QUAD_BYTES + 4 * column, &word, 4); };
    for (int c = 0; c < PANEL; c++) {
        if (F::BITS == 8) {
            for (int j = 0; j < QUADS; j++) { word = q[c][j]; put(j, c); }
            continue;
        }
        const uint32_t low = 0x0f0f0f0fu;
        for (int j = 0; j < QUADS; j += 2) { word = (q[c][j] & low) | (q[c][j + 1] & low) << 4; put(j / 2, c); }
        if (F::BITS == 5) {
            word = 0;
            for (int j = 0; j < QUADS; j++) word |= (q[c][j] >> 4 & 0x01010101u) << j;
            put(QUADS / 2, c);
        }
        for (int t = 0; F::BITS == 6 && t < 2; t++) {
            word = 0;
            for (int j = 0; j < 4; j++) word |= (q[c][4 * t + j] >> 4 & 0x03030303u) << 2 * j;
            put(QUADS / 2 + t, c);
        }
    }
}

template <class F> static inline void write_panel(uint8_t* p, int kind, int64_t width, const uint8_t* const* rows) {
    uint32_t q[PANEL][QUADS];
    for (int64_t g = 0; g < width / GROUP; g++) {
        uint8_t* header = p;
        bool head = g % F::GROUPS_OF_HEADER == 0;
        if (head) p += F::HEADER_BYTES;
        for (int c = 0; c < PANEL; c++) {
            WeightGroup w = {};
            if (rows[c]) read_group(w, kind, rows[c], g);
            __builtin_memcpy(q[c], w.q, GROUP);
            if (head) put_half(header, c, w.d);
            if (head && F::MINS) put_half(header + 2 * PANEL, c, w.dmin);
            for (int s = 0; F::SUB_SCALES && s < F::SCALES; s++) p[s * PANEL + c] = w.scales[s];
            if (F::MINS || F::ZEROS) p[F::SCALE_BYTES + c] = w.side;
        }
        write_bits<F>(p + F::SIDE_BYTES, q);
        p += F::GROUP_BYTES;
    }
}

// Writes one panel. rows: the addresses of its 32 columns' rows of `kind`; null behind the last column, whose sums are 0.
static inline void pack_panel(void* p, int kind, int64_t width, const uint8_t* const* rows) {
    with_format(format_of_kind(kind), [&](auto f) { write_panel<decltype(f)>((uint8_t*)p, kind, width, rows); });
}

// A row of `kind` as float32: the weights that the products compute with.
static inline void read_row(float* out, int kind, int64_t width, const uint8_t* row) {
    int format = format_of_kind(kind);
    for (int64_t g = 0; g < width / GROUP; g++) {
        WeightGroup w = {};
        read_group(w, kind, row, g);
        uint16_t d[16] = {w.d, w.dmin};
        float factors[16];
        for (int i = 0; i < 16; i += L) store(factors + i, half(d + i));
        for (int i = 0; i < GROUP; i++) {
            float q = (float)w.q[i], value;
            switch (format) {
                case PANEL_Q8: value = factors[0] * (q - 128.0f); break;
                case PANEL_Q6: value = factors[0] * (float)(int8_t)w.scales[i / 16] * (q - 32.0f); break;
                case PANEL_Q4Z: value = factors[0] * (q - (float)w.side); break;
                default: value = factors[0] * (float)w.scales[0] * q - factors[1] * (float)w.side;
            }
            out[g * GROUP + i] = value;
        }
    }
}
