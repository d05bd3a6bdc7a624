// Vector types of AVX-512 (F, BW, VL, DQ), with the dot product of bf16 pairs where KVP_PAIR_DOT is 1 (AVX512_BF16).
#pragma once
#include <immintrin.h>

#ifndef KVP_PAIR_DOT
#define KVP_PAIR_DOT 0
#endif

// All lanes, for maskz forms: g++ 12 warns of an uninitialised variable in the forms without a mask.
enum { L = 16, REGISTERS = 32, ALL = 0xffff };
typedef __m512 F32;
typedef __m512i Words;

KVP_INLINE F32 zero() { return _mm512_setzero_ps(); }
KVP_INLINE F32 set1(float x) { return _mm512_set1_ps(x); }
KVP_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
KVP_INLINE void store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
KVP_INLINE __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1); }
KVP_INLINE F32 load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
KVP_INLINE void store_first(float* p, F32 v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
KVP_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
KVP_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
KVP_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
KVP_INLINE F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
KVP_INLINE F32 sqrt(F32 a) { return _mm512_maskz_sqrt_ps(ALL, a); }
KVP_INLINE F32 max(F32 a, F32 b) { return _mm512_maskz_max_ps(ALL, a, b); }
KVP_INLINE F32 min(F32 a, F32 b) { return _mm512_maskz_min_ps(ALL, a, b); }
KVP_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
KVP_INLINE F32 round_down(F32 v) { return _mm512_maskz_roundscale_ps(ALL, v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
KVP_INLINE F32 scale_by_power(F32 v, F32 n) { return _mm512_maskz_scalef_ps(ALL, v, n); }
KVP_INLINE F32 keep_where_at_least(F32 v, F32 x, F32 y) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_GE_OQ), v);
}
KVP_INLINE float sum(F32 v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_maskz_extractf32x8_ps(0xff, v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
KVP_INLINE float largest(F32 v) {
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_maskz_extractf32x8_ps(0xff, v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

KVP_INLINE Words words(const void* p) { return _mm512_loadu_si512(p); }
KVP_INLINE Words word1(uint32_t x) { return _mm512_set1_epi32((int)x); }
KVP_INLINE void store_words(void* p, Words w) { _mm512_storeu_si512(p, w); }
KVP_INLINE void store_words_first(void* p, Words w, int n) { _mm512_mask_storeu_epi32(p, first_lanes(n), w); }
KVP_INLINE F32 even(Words w) { return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(ALL, w, 16)); }
KVP_INLINE F32 odd(Words w) { return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000u))); }

#if KVP_PAIR_DOT
#define KVP_STORES_BF16
KVP_INLINE void store_bf16(uint16_t* p, F32 v) {
    _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_maskz_cvtneps_pbh(ALL, v));
}
KVP_INLINE F32 dot(F32 acc, Words a, Words b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
#endif
// By integer operations in both sets, so that a bf16 has the same bits with and without AVX512_BF16, denormals included.
KVP_INLINE Words rounded_high(F32 v) {
    Words w = _mm512_castps_si512(v);
    Words lsb = _mm512_and_si512(_mm512_maskz_srli_epi32(ALL, w, 16), _mm512_set1_epi32(1));
    Words r = _mm512_add_epi32(w, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(r, nan, w, _mm512_set1_epi32(0x400000));
}
KVP_INLINE Words pair(F32 e, F32 o) {
    Words high = _mm512_and_si512(rounded_high(o), _mm512_set1_epi32((int)0xffff0000u));
    return _mm512_or_si512(_mm512_maskz_srli_epi32(ALL, rounded_high(e), 16), high);
}

KVP_INLINE F32 half(const uint16_t* p) { return _mm512_maskz_cvtph_ps(ALL, _mm256_loadu_si256((const __m256i*)p)); }
KVP_INLINE void store_half(uint16_t* p, F32 v) {
    _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtps_ph(ALL, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
