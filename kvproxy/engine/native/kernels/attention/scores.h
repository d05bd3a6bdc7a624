// Scores of a few lines (a query head of a row each) against the first keys of a page.
//
// A score is one chain of fused sums over the components in order, whatever lines and keys are computed beside it.
#pragma once

enum { SCORE_LINES = REGISTERS >= 32 ? 12 : 6 };  // lines of a block: 2 key vectors each fill the registers

// V key vectors, `next` bytes apart, against R lines; q: [dim][R]; s: R rows of PAGE scores.
template <class T, int R, int V>
static inline void score_vectors(const char* k, int64_t next, int dim, const float* q, float* s,
                                 const char*& ahead) {
    F32 acc[R][V];
    KVP_UNROLL for (int r = 0; r < R; r++) KVP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = zero();
    for (int c = 0; c < dim; c += 2, q += 2 * R, k += 2 * KEYS * sizeof(typename T::Element)) {
        read_ahead<V * L * 2 * (int)sizeof(typename T::Element)>(ahead);
        F32 e[V], o[V];
        KVP_UNROLL for (int v = 0; v < V; v++) T::widen(k + v * next, 0, KEYS, e[v], o[v]);
        KVP_UNROLL for (int r = 0; r < R; r++) {
            F32 x = set1(q[r]);
            KVP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = fma(x, e[v], acc[r][v]);
        }
        KVP_UNROLL for (int r = 0; r < R; r++) {
            F32 x = set1(q[R + r]);
            KVP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = fma(x, o[v], acc[r][v]);
        }
    }
    KVP_UNROLL for (int r = 0; r < R; r++)
        KVP_UNROLL for (int v = 0; v < V; v++) store(s + r * PAGE + v * L, acc[r][v]);
}

// The first `keys` keys of a page, a multiple of KEYS.
template <class T, int R>
static void score_lines(const char* k, int keys, int dim, const float* q, float* s, const char* ahead) {
    const int64_t group = (int64_t)KEYS * dim * sizeof(typename T::Element);
    const int64_t lane = (T::PAIRED ? 2 : 1) * sizeof(typename T::Element);
    if ((int)L == (int)KEYS) {
        enum { V = R <= 4 ? 4 : 2 };  // few lines need more chains, to hide the latency of a sum
        int n = 0;
        for (; n + V * KEYS <= keys; n += V * KEYS)
            score_vectors<T, R, V>(k + n / KEYS * group, group, dim, q, s + n, ahead);
        for (; n < keys; n += KEYS) score_vectors<T, R, 1>(k + n / KEYS * group, group, dim, q, s + n, ahead);
    } else {
        for (int n = 0; n < keys; n += 2 * L)
            score_vectors<T, R, 2>(k + n / KEYS * group + n % KEYS * lane, L * lane, dim, q, s + n, ahead);
    }
}

// Lines that a block of n is computed as; the further ones are copies whose results nobody reads.
KVP_INLINE int score_block(int n) {
    return n <= 4 ? n : n <= 6 || SCORE_LINES == 6 ? 6 : n <= 8 ? 8 : 12;
}

// `ahead`: as many bytes as the keys have that are read next, or any that need no reading.
template <class T>
static void scores(int lines, const char* k, int keys, int dim, const float* q, float* s, const char* ahead) {
    switch (score_block(lines)) {
        case 1: return score_lines<T, 1>(k, keys, dim, q, s, ahead);
        case 2: return score_lines<T, 2>(k, keys, dim, q, s, ahead);
        case 3: return score_lines<T, 3>(k, keys, dim, q, s, ahead);
        case 4: return score_lines<T, 4>(k, keys, dim, q, s, ahead);
        case 6: return score_lines<T, 6>(k, keys, dim, q, s, ahead);
        case 8: return score_lines<T, SCORE_LINES == 6 ? 6 : 8>(k, keys, dim, q, s, ahead);
        default: return score_lines<T, SCORE_LINES>(k, keys, dim, q, s, ahead);
    }
}
