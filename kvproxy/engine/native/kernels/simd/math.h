// Functions of vectors that are made of the operations of simd.h alone.
#pragma once

#ifndef KVP_STORES_BF16  // a set may have its own
// L floats at p, rounded to the nearest even; v: 0 or normal, at least 0 (a set's own may round others otherwise).
KVP_INLINE void store_bf16(uint16_t* p, F32 v) {
    alignas(64) uint32_t x[L];
    store_words(x, pair(v, v));
    for (int i = 0; i < L; i++) p[i] = (uint16_t)x[i];
}
#endif

// 2^x, within 2 units in the last place; 0 for x below -126. x: at most 127.
KVP_INLINE F32 exp2(F32 x) {
    const F32 least = set1(-126.0f);
    F32 clamped = max(x, least);
    F32 whole = round_down(add(clamped, set1(0.5f)));
    F32 f = sub(clamped, whole);  // [-0.5, 0.5]
    // Taylor's terms of 2^f = e^(f ln 2): ln(2)^n / n!
    F32 y = set1(1.5403530393381608e-4f);
    y = fma(y, f, set1(1.3333558146428443e-3f));
    y = fma(y, f, set1(9.6181291076284770e-3f));
    y = fma(y, f, set1(5.5504108664821580e-2f));
    y = fma(y, f, set1(2.4022650695910072e-1f));
    y = fma(y, f, set1(6.9314718055994530e-1f));
    y = fma(y, f, set1(1.0f));
    return keep_where_at_least(scale_by_power(y, whole), x, least);
}
