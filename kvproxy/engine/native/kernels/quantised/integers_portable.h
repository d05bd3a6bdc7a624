// Integer vectors of any machine, in plain C++; the lanes are those of simd/portable.h.
#pragma once

struct Ints { int32_t x[L]; };
#define KVP_LANES(i) for (int i = 0; i < L; i++)
KVP_INLINE Ints bytes(const void* p) { Ints r; __builtin_memcpy(&r, p, sizeof r); return r; }
KVP_INLINE Ints ints1(int x) { Ints r; KVP_LANES(i) r.x[i] = x; return r; }
KVP_INLINE Ints quad(const int8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return ints1(x);
}
KVP_INLINE Ints minus_product(Ints a, int x) { KVP_LANES(i) a.x[i] *= -x; return a; }
KVP_INLINE Ints low_bits(Ints w) { KVP_LANES(i) w.x[i] &= 0x0f0f0f0f; return w; }
KVP_INLINE Ints high_bits(Ints w) { KVP_LANES(i) w.x[i] = (int32_t)((uint32_t)w.x[i] >> 4 & 0x0f0f0f0fu); return w; }
template <int MASK, int LEFT> KVP_INLINE Ints with_bits(Ints w, Ints h) {
    KVP_LANES(i) {
        uint32_t bits = (uint32_t)h.x[i];
        bits = LEFT > 0 ? bits << (LEFT > 0 ? LEFT : 0) : bits >> (LEFT < 0 ? -LEFT : 0);
        w.x[i] |= (int32_t)(bits & (uint32_t)MASK * 0x01010101u);
    }
    return w;
}
KVP_INLINE F32 floats(Ints v) { F32 r; KVP_LANES(i) r.x[i] = (float)v.x[i]; return r; }
KVP_INLINE Ints byte_ints(const uint8_t* p) { Ints r; KVP_LANES(i) r.x[i] = p[i]; return r; }
KVP_INLINE F32 byte_floats(const uint8_t* p) { F32 r; KVP_LANES(i) r.x[i] = (float)p[i]; return r; }
KVP_INLINE F32 signed_byte_floats(const uint8_t* p) { F32 r; KVP_LANES(i) r.x[i] = (float)(int8_t)p[i]; return r; }

template <int BITS> struct ByteDot {
    static constexpr int BIAS = 0;
    struct Pair { Ints w0, w1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) { return {w0, w1}; }
    KVP_INLINE Ints one(Ints acc, const Ints& w, const Ints& a) {
        uint8_t wb[4 * L];
        int8_t ab[4 * L];
        __builtin_memcpy(wb, &w, sizeof wb);
        __builtin_memcpy(ab, &a, sizeof ab);
        KVP_LANES(i) for (int j = 0; j < 4; j++) acc.x[i] += wb[4 * i + j] * ab[4 * i + j];
        return acc;
    }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        return one(one(acc, w.w0, a0), w.w1, a1);
    }
};
#undef KVP_LANES
