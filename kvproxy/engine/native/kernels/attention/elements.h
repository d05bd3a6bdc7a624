// The element types of a page: how a pair of key components, or of value positions, becomes two float vectors.
//
// `width` is the number of columns of a pair: KEYS positions for keys, dim components for values (see pages.h).
#pragma once

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
