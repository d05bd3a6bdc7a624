// Weighted sums of a page's first values for a few lines.
//
// A sum is one chain over the positions, two at a time, in order, whatever lines and components are beside it.
#pragma once

enum { VALUE_LINES = REGISTERS >= 32 ? 6 : 3 };  // lines of a block: 4 vectors of components each fill the registers

template <class T, bool DOT> struct PairSum {
    typedef float Weight;
    template <int R, int V>
    KVP_INLINE void add_pair(const char* v, int64_t width, const float* w, int64_t stride, F32 (&acc)[R][V]) {
        F32 e[V], o[V];
        KVP_UNROLL for (int i = 0; i < V; i++) T::widen(v, i * L, width, e[i], o[i]);
        KVP_UNROLL for (int r = 0; r < R; r++) {
            F32 x = set1(w[r * stride]);
            KVP_UNROLL for (int i = 0; i < V; i++) acc[r][i] = fma(x, e[i], acc[r][i]);
        }
        KVP_UNROLL for (int r = 0; r < R; r++) {
            F32 x = set1(w[r * stride + 1]);
            KVP_UNROLL for (int i = 0; i < V; i++) acc[r][i] = fma(x, o[i], acc[r][i]);
        }
    }
};
#if KVP_PAIR_DOT
template <class T> struct PairSum<T, true> {
    typedef uint16_t Weight;
    template <int R, int V>
    KVP_INLINE void add_pair(const char* v, int64_t, const uint16_t* w, int64_t stride, F32 (&acc)[R][V]) {
        Words y[V];
        KVP_UNROLL for (int i = 0; i < V; i++) y[i] = words(v + i * L * 4);
        KVP_UNROLL for (int r = 0; r < R; r++) {
            uint32_t both;
            __builtin_memcpy(&both, w + r * stride, 4);
            Words x = word1(both);
            KVP_UNROLL for (int i = 0; i < V; i++) acc[r][i] = dot(acc[r][i], x, y[i]);
        }
    }
};
#endif

// V vectors of components of R lines; w: R rows of PAGE weights; o: R rows of dim sums.
template <class T, int R, int V>
static inline void sum_vectors(const char* v, int keys, int dim, const void* weights, float* o,
                               const char*& ahead) {
    typedef PairSum<T, T::DOT != 0> Sum;
    const typename Sum::Weight* w = (const typename Sum::Weight*)weights;
    F32 acc[R][V];
    KVP_UNROLL for (int r = 0; r < R; r++) KVP_UNROLL for (int i = 0; i < V; i++) acc[r][i] = zero();
    const int64_t step = (int64_t)2 * dim * sizeof(typename T::Element);
    for (int n = 0; n < keys; n += 2, v += step, w += 2) {
        read_ahead<V * L * 2 * (int)sizeof(typename T::Element)>(ahead);
        Sum::add_pair(v, dim, w, PAGE, acc);
    }
    KVP_UNROLL for (int r = 0; r < R; r++)
        KVP_UNROLL for (int i = 0; i < V; i++) store(o + (int64_t)r * dim + i * L, acc[r][i]);
}

template <class T, int R>
static void sum_lines(const char* v, int keys, int dim, const void* w, float* o, const char* ahead) {
    const int64_t column = (T::PAIRED ? 2 : 1) * sizeof(typename T::Element);
    int d = 0;
    for (; d + 4 * L <= dim; d += 4 * L) sum_vectors<T, R, 4>(v + d * column, keys, dim, w, o + d, ahead);
    for (; d < dim; d += L) sum_vectors<T, R, 1>(v + d * column, keys, dim, w, o + d, ahead);
}

// Lines beyond the block's are computed too, to the next size of a kernel; nobody reads them.
template <class T>
static void values(int lines, const char* v, int keys, int dim, const void* weights, float* o, const char* ahead) {
    typedef typename PairSum<T, T::DOT != 0>::Weight Weight;
    for (int r = 0; r < lines; r += VALUE_LINES) {
        const Weight* w = (const Weight*)weights + r * PAGE;
        float* to = o + (int64_t)r * dim;
        switch (lines - r) {
            case 1: sum_lines<T, 1>(v, keys, dim, w, to, ahead); break;
            case 2: sum_lines<T, 2>(v, keys, dim, w, to, ahead); break;
            case 3: sum_lines<T, 3>(v, keys, dim, w, to, ahead); break;
            case 4: sum_lines<T, VALUE_LINES == 3 ? 3 : 4>(v, keys, dim, w, to, ahead); break;
            default: sum_lines<T, VALUE_LINES>(v, keys, dim, w, to, ahead);
        }
    }
}
