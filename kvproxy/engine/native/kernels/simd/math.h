// Functions of vectors that are made of the operations of simd.h alone.
#pragma once

#ifndef KVP_PAIRS_NEIGHBOURS
KVP_INLINE Words neighbours(F32 a, F32 b) {
    alignas(64) float x[2 * L], e[L], o[L];
    store(x, a);
    store(x + L, b);
    for (int i = 0; i < L; i++) e[i] = x[2 * i], o[i] = x[2 * i + 1];
    return pair(load(e), load(o));
}
#endif

#ifndef KVP_STORES_BF16  // a set may have its own
// L floats at p, rounded to the nearest even; v: 0 or normal, at least 0 (a set's own may round others otherwise).
KVP_INLINE void store_bf16(uint16_t* p, F32 v) {
    alignas(64) uint32_t x[L];
    store_words(x, pair(v, v));
    for (int i = 0; i < L; i++) p[i] = (uint16_t)x[i];
}
#endif

// 2^x, within 0.94 units in the last place with fused multiply-add and 1.2 without; 0 for x below -126. x: at most 127.
KVP_INLINE F32 exp2(F32 x) {
    const F32 least = set1(-126.0f);
    F32 clamped = max(x, least);
    F32 whole = round_down(add(clamped, set1(0.5f)));
    F32 f = sub(clamped, whole);  // [-0.5, 0.5]
    // 1 + f times the polynomial that is nearest to (2^f - 1) / f: its error is 2e-9 of the result, the rest is rounding.
    F32 y = set1(1.5353362032987684e-4f);
    y = fma(y, f, set1(1.3398874650679335e-3f));
    y = fma(y, f, set1(9.6184373591178506e-3f));
    y = fma(y, f, set1(5.5503324705354712e-2f));
    y = fma(y, f, set1(2.4022647913600662e-1f));
    y = fma(y, f, set1(6.9314720285533715e-1f));
    y = fma(y, f, set1(1.0f));
    return keep_where_at_least(scale_by_power(y, whole), x, least);
}
