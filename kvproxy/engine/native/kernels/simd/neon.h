// Vector types of NEON on 64-bit Arm, with the dot product of bf16 pairs where KVP_PAIR_DOT is 1 (FEAT_BF16).
#pragma once
#include <arm_neon.h>

#ifndef KVP_PAIR_DOT
#define KVP_PAIR_DOT 0
#endif

enum { L = 4, REGISTERS = 32 };
typedef float32x4_t F32;
typedef uint32x4_t Words;

KVP_INLINE F32 zero() { return vdupq_n_f32(0.0f); }
KVP_INLINE F32 set1(float x) { return vdupq_n_f32(x); }
KVP_INLINE F32 load(const float* p) { return vld1q_f32(p); }
KVP_INLINE void store(float* p, F32 v) { vst1q_f32(p, v); }
KVP_INLINE F32 load_first(const float* p, int n) {
    float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < n; i++) lanes[i] = p[i];
    return vld1q_f32(lanes);
}
KVP_INLINE void store_first(float* p, F32 v, int n) {
    float lanes[4];
    vst1q_f32(lanes, v);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
}
KVP_INLINE F32 add(F32 a, F32 b) { return vaddq_f32(a, b); }
KVP_INLINE F32 sub(F32 a, F32 b) { return vsubq_f32(a, b); }
KVP_INLINE F32 mul(F32 a, F32 b) { return vmulq_f32(a, b); }
KVP_INLINE F32 div(F32 a, F32 b) { return vdivq_f32(a, b); }
KVP_INLINE F32 sqrt(F32 a) { return vsqrtq_f32(a); }
KVP_INLINE F32 max(F32 a, F32 b) { return vmaxq_f32(a, b); }
KVP_INLINE F32 min(F32 a, F32 b) { return vminq_f32(a, b); }
KVP_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
KVP_INLINE F32 round_down(F32 v) { return vrndmq_f32(v); }
KVP_INLINE F32 scale_by_power(F32 v, F32 n) {
    int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}
KVP_INLINE F32 keep_where_at_least(F32 v, F32 x, F32 y) {
    return vreinterpretq_f32_u32(vandq_u32(vcgeq_f32(x, y), vreinterpretq_u32_f32(v)));
}
KVP_INLINE float sum(F32 v) {
    float32x2_t b = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
KVP_INLINE float largest(F32 v) { return vmaxvq_f32(v); }

KVP_INLINE Words words(const void* p) { return vreinterpretq_u32_u8(vld1q_u8((const uint8_t*)p)); }
KVP_INLINE Words word1(uint32_t x) { return vdupq_n_u32(x); }
KVP_INLINE void store_words(void* p, Words w) { vst1q_u8((uint8_t*)p, vreinterpretq_u8_u32(w)); }
KVP_INLINE void store_words_first(void* p, Words w, int n) { __builtin_memcpy(p, &w, 4 * (size_t)n); }
KVP_INLINE F32 even(Words w) { return vreinterpretq_f32_u32(vshlq_n_u32(w, 16)); }
KVP_INLINE F32 odd(Words w) { return vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(0xffff0000u))); }

#if KVP_PAIR_DOT
KVP_INLINE F32 dot(F32 acc, Words a, Words b) {
    return vbfdotq_f32(acc, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(b));
}
#endif
// In the high half of each word, by integer operations as in every set. A NaN stays one, made quiet.
KVP_INLINE Words rounded_high(F32 v) {
    Words w = vreinterpretq_u32_f32(v);
    Words lsb = vandq_u32(vshrq_n_u32(w, 16), vdupq_n_u32(1));
    Words r = vaddq_u32(w, vaddq_u32(lsb, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(v, v), r, vorrq_u32(w, vdupq_n_u32(0x400000)));
}
KVP_INLINE Words pair(F32 e, F32 o) { return vsriq_n_u32(rounded_high(o), rounded_high(e), 16); }

KVP_INLINE F32 half(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
KVP_INLINE void store_half(uint16_t* p, F32 v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
