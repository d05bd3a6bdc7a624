// One step of the chain for each type of weights: acc += the products of a pair of k. All blocks of the product are made
// of these steps, so the order within a pair is stated here alone: one instruction for both, or even k, then odd k.
#pragma once

// float32 rows times weights that Load widens to float32.
template <class Load>
struct StepByFma {
    enum { ROW_WORDS = 2, PAIR_BYTES = Load::PAIR_BYTES, VECTOR_BYTES = Load::VECTOR_BYTES };
    template <int VECTORS, int ROWS>
    KVP_INLINE void run(F32 (&acc)[ROWS][VECTORS], const char* w, const char* x, int64_t panel_stride, int in_panel) {
        F32 e[VECTORS], o[VECTORS];
        const float* xs = (const float*)x;
        KVP_UNROLL
        for (int v = 0; v < VECTORS; v++) e[v] = Load::even_at(w + (v / in_panel) * panel_stride, v % in_panel);
        KVP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            F32 b = set1(xs[r]);
            KVP_UNROLL
            for (int v = 0; v < VECTORS; v++) acc[r][v] = fma(b, e[v], acc[r][v]);
        }
        KVP_UNROLL
        for (int v = 0; v < VECTORS; v++) o[v] = Load::odd_at(w + (v / in_panel) * panel_stride, v % in_panel);
        KVP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            F32 b = set1(xs[BLOCK_ROWS + r]);
            KVP_UNROLL
            for (int v = 0; v < VECTORS; v++) acc[r][v] = fma(b, o[v], acc[r][v]);
        }
    }
};

struct LoadBf16 {
    enum { PAIR_BYTES = 4 * PANEL, VECTOR_BYTES = 4 * L };
    KVP_INLINE F32 even_at(const char* w, int v) { return even(words(w + v * VECTOR_BYTES)); }
    KVP_INLINE F32 odd_at(const char* w, int v) { return odd(words(w + v * VECTOR_BYTES)); }
};
struct LoadF16 {
    enum { PAIR_BYTES = 4 * PANEL, VECTOR_BYTES = 2 * L };
    KVP_INLINE F32 even_at(const char* w, int v) { return half((const uint16_t*)(w + v * VECTOR_BYTES)); }
    KVP_INLINE F32 odd_at(const char* w, int v) { return half((const uint16_t*)(w + 2 * PANEL + v * VECTOR_BYTES)); }
};
struct LoadF32 {
    enum { PAIR_BYTES = 8 * PANEL, VECTOR_BYTES = 4 * L };
    KVP_INLINE F32 even_at(const char* w, int v) { return load((const float*)(w + v * VECTOR_BYTES)); }
    KVP_INLINE F32 odd_at(const char* w, int v) { return load((const float*)(w + 4 * PANEL + v * VECTOR_BYTES)); }
};

#if KVP_PAIR_DOT
// bf16 rows times bf16 weights.
struct StepByPairDot {
    enum { ROW_WORDS = 1, PAIR_BYTES = 4 * PANEL, VECTOR_BYTES = 4 * L };
    template <int VECTORS, int ROWS>
    KVP_INLINE void run(F32 (&acc)[ROWS][VECTORS], const char* w, const char* x, int64_t panel_stride, int in_panel) {
        Words ws[VECTORS];
        KVP_UNROLL
        for (int v = 0; v < VECTORS; v++)
            ws[v] = words(w + (v / in_panel) * panel_stride + (v % in_panel) * VECTOR_BYTES);
        KVP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            Words b = word1(((const uint32_t*)x)[r]);
            KVP_UNROLL
            for (int v = 0; v < VECTORS; v++) acc[r][v] = dot(acc[r][v], b, ws[v]);
        }
    }
};
#endif
