// Integer vectors of NEON; the dot product of quads in one instruction where the set has it (sdot), else by widening.
#pragma once

typedef int32x4_t Ints;
KVP_INLINE Ints bytes(const void* p) { return vreinterpretq_s32_u8(vld1q_u8((const uint8_t*)p)); }
KVP_INLINE Ints ints1(int x) { return vdupq_n_s32(x); }
KVP_INLINE Ints quad(const int8_t* p) {
    int x;
    __builtin_memcpy(&x, p, 4);
    return vdupq_n_s32(x);
}
KVP_INLINE Ints minus_product(Ints a, int x) { return vmulq_n_s32(a, -x); }
KVP_INLINE Ints low_bits(Ints w) {
    return vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_s32(w), vdupq_n_u8(15)));
}
KVP_INLINE Ints high_bits(Ints w) { return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(w), 4)); }
template <int MASK, int LEFT> KVP_INLINE Ints with_bits(Ints w, Ints h) {
    uint8x16_t moved = vshlq_u8(vreinterpretq_u8_s32(h), vdupq_n_s8(LEFT));
    return vorrq_s32(w, vreinterpretq_s32_u8(vandq_u8(moved, vdupq_n_u8(MASK))));
}
KVP_INLINE F32 floats(Ints v) { return vcvtq_f32_s32(v); }
KVP_INLINE Ints byte_ints(const uint8_t* p) {
    Ints r = {p[0], p[1], p[2], p[3]};
    return r;
}
KVP_INLINE F32 byte_floats(const uint8_t* p) { return floats(byte_ints(p)); }
KVP_INLINE F32 signed_byte_floats(const uint8_t* p) {
    Ints r = {(int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3]};
    return floats(r);
}

// All bytes as signed ones: those of up to 6 bits are the same, 8 bits less 128.
template <int BITS> struct ByteDot {
    static constexpr int BIAS = BITS == 8 ? 128 : 0;
    struct Pair { int8x16_t w0, w1; };
    KVP_INLINE int8x16_t as_signed(Ints w) {
        int8x16_t s = vreinterpretq_s8_s32(w);
        return BITS == 8 ? veorq_s8(s, vdupq_n_s8((int8_t)-128)) : s;
    }
    KVP_INLINE Pair prepare(Ints w0, Ints w1) { return {as_signed(w0), as_signed(w1)}; }
    KVP_INLINE Ints one(Ints acc, int8x16_t w, int8x16_t a) {
#if defined(__ARM_FEATURE_DOTPROD)
        return vdotq_s32(acc, w, a);
#else
        int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a)));
        int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(w), vget_high_s8(a)));
        return vaddq_s32(acc, vpaddq_s32(low, high));
#endif
    }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        return one(one(acc, w.w0, vreinterpretq_s8_s32(a0)), w.w1, vreinterpretq_s8_s32(a1));
    }
};
