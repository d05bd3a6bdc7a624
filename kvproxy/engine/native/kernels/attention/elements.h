// The element types of a page: how a pair of key components, or of value positions, becomes two float vectors.
//
// `width` is the number of columns of a pair: KEYS positions for keys, dim components for values (see pages.h).
#pragma once

// Reads ahead into the second cache as much of what comes next as a step of a kernel reads: a page's values while its
// keys are used, and the next page's keys after that. A decode step from memory took 161 us without it, 114 with it.
template <int BYTES> KVP_INLINE void read_ahead(const char*& next) {
    for (int i = 0; i < BYTES; i += 64) __builtin_prefetch(next + i, 0, 2);
    next += BYTES;
}

struct Bf16Pairs {
    typedef uint16_t Element;
    enum { PAIRED = 1, DOT = KVP_PAIR_DOT };  // PAIRED: two elements stand in a word; DOT: weights are bf16 pairs too
    KVP_INLINE void widen(const char* pair, int64_t column, int64_t, F32& e, F32& o) {
        Words w = words(pair + column * 4);
        e = even(w);
        o = odd(w);
    }
};

struct F16Pairs {
    typedef uint16_t Element;
    enum { PAIRED = 0, DOT = 0 };
    KVP_INLINE void widen(const char* pair, int64_t column, int64_t width, F32& e, F32& o) {
        const uint16_t* p = (const uint16_t*)pair + column;
        e = half(p);
        o = half(p + width);
    }
};

struct F32Pairs {
    typedef float Element;
    enum { PAIRED = 0, DOT = 0 };
    KVP_INLINE void widen(const char* pair, int64_t column, int64_t width, F32& e, F32& o) {
        const float* p = (const float*)pair + column;
        e = load(p);
        o = load(p + width);
    }
};
