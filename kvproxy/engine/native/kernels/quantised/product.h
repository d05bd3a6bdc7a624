// The product of quantised weights with rows of signed bytes.
//
// An element is one float32 chain over the groups of k in order:
//   y = fma(integer sum of the group, weight's scale * row's scale, y); with mins also y = fma(min, -row's sum, y)
// The integer sums are exact. The chain is the same for every number of rows, block of rows and thread.
#pragma once

// Rows and registers of columns whose sums one pass keeps.
#if defined(KVP_SIMD_AVX512)
enum { BLOCK_ROWS = 6, BLOCK_VECTORS = 2 };
#elif defined(KVP_SIMD_NEON)
enum { BLOCK_ROWS = 4, BLOCK_VECTORS = 2 };
#else
enum { BLOCK_ROWS = 4, BLOCK_VECTORS = 1 };
#endif
enum { VECTORS = PANEL / L };

// Quads 2 t and 2 t + 1 of the L columns of register v.
template <class F> KVP_INLINE typename ByteDot<F::BITS>::Pair weights(const uint8_t* bits, int t, int v) {
    typedef ByteDot<F::BITS> D;
    const uint8_t* p = bits + 4 * L * v;
    if constexpr (F::BITS == 8) {
        return D::prepare(bytes(p + 2 * t * QUAD_BYTES), bytes(p + (2 * t + 1) * QUAD_BYTES));
    } else {
        Ints both = bytes(p + t * QUAD_BYTES);
        Ints w0 = low_bits(both), w1 = high_bits(both);
        if constexpr (F::BITS == 5) {
            Ints h = bytes(p + QUADS / 2 * QUAD_BYTES);
            switch (t) {
                case 0: return D::prepare(with_bits<16, 4>(w0, h), with_bits<16, 3>(w1, h));
                case 1: return D::prepare(with_bits<16, 2>(w0, h), with_bits<16, 1>(w1, h));
                case 2: return D::prepare(with_bits<16, 0>(w0, h), with_bits<16, -1>(w1, h));
                default: return D::prepare(with_bits<16, -2>(w0, h), with_bits<16, -3>(w1, h));
            }
        }
        if constexpr (F::BITS == 6) {
            Ints h = bytes(p + (QUADS / 2 + t / 2) * QUAD_BYTES);
            return t % 2 ? D::prepare(with_bits<48, 0>(w0, h), with_bits<48, -2>(w1, h))
                         : D::prepare(with_bits<48, 4>(w0, h), with_bits<48, 2>(w1, h));
        }
        return D::prepare(w0, w1);
    }
}

// Adds one group's terms to y[R][VECTORS], for registers v0 to v0 + BLOCK_VECTORS. d, dmin: the header's factors.
template <class F, int R>
KVP_INLINE void add_group(F32 (*y)[VECTORS], const uint8_t* p, const Row* rows, int64_t group, int v0,
                          const F32* d, const F32* dmin) {
    typedef ByteDot<F::BITS> D;
    enum { C = BLOCK_VECTORS, PAIRS = QUADS / 2 / F::SCALES };
    const uint8_t* bits = p + F::SIDE_BYTES;
    for (int s = 0; s < F::SCALES; s++) {
        Ints acc[R][C];
        for (int r = 0; r < R; r++) {
            const RowGroup& g = rows[r].groups[group];
            int sum = F::SCALES == 2 ? g.sum[s] : g.sum[0] + g.sum[1];
            for (int c = 0; c < C; c++)
                acc[r][c] = F::ZEROS ? minus_product(byte_ints(p + F::SCALE_BYTES + L * (v0 + c)), sum)
                                     : ints1((D::BIAS - F::ZERO) * sum);
        }
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            const int t = s * PAIRS + i;
            typename D::Pair w[C];
            for (int c = 0; c < C; c++) w[c] = weights<F>(bits, t, v0 + c);
            for (int r = 0; r < R; r++) {
                const int8_t* a = rows[r].bytes + group * GROUP + 8 * t;
                Ints a0 = quad(a), a1 = quad(a + 4);
                for (int c = 0; c < C; c++) acc[r][c] = D::dot(acc[r][c], w[c], a0, a1);
            }
        }
        for (int c = 0; c < C; c++) {
            F32 scale = d[v0 + c];
            if (F::SIGNED_SCALES) scale = mul(scale, signed_byte_floats(p + s * PANEL + L * (v0 + c)));
            else if (F::SUB_SCALES) scale = mul(scale, byte_floats(p + s * PANEL + L * (v0 + c)));
            for (int r = 0; r < R; r++)
                y[r][v0 + c] = fma(floats(acc[r][c]), mul(scale, set1(rows[r].groups[group].scale)), y[r][v0 + c]);
        }
    }
    for (int c = 0; F::MINS && c < C; c++) {
        F32 least = mul(dmin[v0 + c], byte_floats(p + F::SCALE_BYTES + L * (v0 + c)));
        for (int r = 0; r < R; r++)
            y[r][v0 + c] = fma(least, set1(rows[r].groups[group].minus_sum), y[r][v0 + c]);
    }
}

// out[R][PANEL]: the sums of R rows with one panel, without a bias.
template <class F, int R>
static void panel_rows(const uint8_t* p, int64_t width, const Row* given, float (*out)[PANEL]) {
    Row rows[R];
    F32 y[R][VECTORS], d[VECTORS], dmin[VECTORS];
    for (int r = 0; r < R; r++) {
        rows[r] = given[r];
        for (int v = 0; v < VECTORS; v++) y[r][v] = zero();
    }
    for (int64_t first = 0; first < width / GROUP; first += F::GROUPS_OF_HEADER) {
        for (int v = 0; v < VECTORS; v++) {
            d[v] = half((const uint16_t*)p + L * v);
            dmin[v] = F::MINS ? half((const uint16_t*)p + PANEL + L * v) : zero();
        }
        p += F::HEADER_BYTES;
        for (int g = 0; g < F::GROUPS_OF_HEADER; g++) {
            for (int v = 0; v < VECTORS; v += BLOCK_VECTORS) add_group<F, R>(y, p, rows, first + g, v, d, dmin);
            p += F::GROUP_BYTES;
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < VECTORS; v++) store(out[r] + L * v, y[r][v]);
}

template <class F> static inline void panel_block(int count, const uint8_t* p, int64_t width, const Row* rows,
                                                  float (*out)[PANEL]) {
    switch (count) {
        case 1: return panel_rows<F, 1>(p, width, rows, out);
        case 2: return panel_rows<F, 2>(p, width, rows, out);
        case 3: return panel_rows<F, 3>(p, width, rows, out);
        case 4: return panel_rows<F, 4>(p, width, rows, out);
#if defined(KVP_SIMD_AVX512)
        case 5: return panel_rows<F, 5>(p, width, rows, out);
        default: return panel_rows<F, 6>(p, width, rows, out);
#else
        default: return;
#endif
    }
}

// product() of product/packed.h for a quantised matrix.
template <class Epilogue>
static void product(const Worker& w, const Matrix& m, const PackedRows& x, int rows, Epilogue e) {
    const PanelEntry* entries = (const PanelEntry*)m.panels;
    int panels = (int)((m.columns + PANEL - 1) / PANEL);
    // Blocks as equal as can be: 8 rows are 4 and 4 rather than 6 and 2.
    int blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    share_out(w, panels, [&](int panel) {
        const uint8_t* p = (const uint8_t*)m.panels + entries[panel].offset;
        int column = panel * PANEL;
        with_format(entries[panel].format, [&](auto f) {
            for (int block = 0; block < blocks; block++) {
                int first = (int)((int64_t)rows * block / blocks), end = (int)((int64_t)rows * (block + 1) / blocks);
                Row given[BLOCK_ROWS];
                alignas(64) float y[BLOCK_ROWS][PANEL];
                for (int r = first; r < end; r++) given[r - first] = row_of(x, r);
                panel_block<decltype(f)>(end - first, p, m.width, given, y);
                for (int r = first; r < end; r++) {
                    float* sums = y[r - first];
                    for (int i = 0; m.bias && i < PANEL; i += L) store(sums + i, add(load(sums + i), load(m.bias + column + i)));
                    e(r, column, (const float*)sums);
                }
            }
        });
    });
}
