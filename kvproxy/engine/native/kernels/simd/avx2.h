// Vector types of AVX2 with FMA and F16C.
#pragma once
#include <immintrin.h>

#ifndef KVP_PAIR_DOT
#define KVP_PAIR_DOT 0
#endif

enum { L = 8, REGISTERS = 16 };
typedef __m256 F32;
typedef __m256i Words;

KVP_INLINE F32 zero() { return _mm256_setzero_ps(); }
KVP_INLINE F32 set1(float x) { return _mm256_set1_ps(x); }
KVP_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
KVP_INLINE void store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
KVP_INLINE __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
KVP_INLINE F32 load_first(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
KVP_INLINE void store_first(float* p, F32 v, int n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
KVP_INLINE F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
KVP_INLINE F32 sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
KVP_INLINE F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
KVP_INLINE F32 div(F32 a, F32 b) { return _mm256_div_ps(a, b); }
KVP_INLINE F32 sqrt(F32 a) { return _mm256_sqrt_ps(a); }
KVP_INLINE F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
KVP_INLINE F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
KVP_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
KVP_INLINE F32 round_down(F32 v) { return _mm256_floor_ps(v); }
KVP_INLINE F32 scale_by_power(F32 v, F32 n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
KVP_INLINE F32 keep_where_at_least(F32 v, F32 x, F32 y) { return _mm256_and_ps(_mm256_cmp_ps(x, y, _CMP_GE_OQ), v); }
KVP_INLINE float sum(F32 v) {
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
KVP_INLINE float largest(F32 v) {
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

KVP_INLINE Words words(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
KVP_INLINE Words word1(uint32_t x) { return _mm256_set1_epi32((int)x); }
KVP_INLINE void store_words(void* p, Words w) { _mm256_storeu_si256((__m256i*)p, w); }
KVP_INLINE void store_words_first(void* p, Words w, int n) { _mm256_maskstore_epi32((int*)p, first_lanes(n), w); }
KVP_INLINE F32 even(Words w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
KVP_INLINE F32 odd(Words w) { return _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32((int)0xffff0000u))); }

// In the high half of each word, by integer operations as in every set. A NaN stays one, made quiet.
KVP_INLINE Words rounded_high(F32 v) {
    Words w = _mm256_castps_si256(v);
    Words lsb = _mm256_and_si256(_mm256_srli_epi32(w, 16), _mm256_set1_epi32(1));
    Words r = _mm256_add_epi32(w, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff)));
    Words quiet = _mm256_or_si256(w, _mm256_set1_epi32(0x400000));
    return _mm256_blendv_epi8(r, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}
KVP_INLINE Words pair(F32 e, F32 o) {
    return _mm256_blend_epi16(_mm256_srli_epi32(rounded_high(e), 16), rounded_high(o), 0xaa);
}

KVP_INLINE F32 half(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
KVP_INLINE void store_half(uint16_t* p, F32 v) {
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
