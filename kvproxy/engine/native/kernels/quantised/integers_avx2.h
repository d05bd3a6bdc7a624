// Integer vectors of AVX2: dot products of quads by sums of 16 bits, which never overflow here.
#pragma once

typedef __m256i Ints;
KVP_INLINE Ints bytes(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
KVP_INLINE Ints ints1(int x) { return _mm256_set1_epi32(x); }
KVP_INLINE Ints quad(const int8_t* p) {
    int x;
    __builtin_memcpy(&x, p, 4);
    return _mm256_set1_epi32(x);
}
KVP_INLINE Ints minus_product(Ints a, int x) { return _mm256_mullo_epi32(a, _mm256_set1_epi32(-x)); }
KVP_INLINE Ints low_bits(Ints w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }
KVP_INLINE Ints high_bits(Ints w) { return _mm256_and_si256(_mm256_srli_epi16(w, 4), _mm256_set1_epi8(15)); }
template <int MASK, int LEFT> KVP_INLINE Ints with_bits(Ints w, Ints h) {
    Ints moved = LEFT > 0 ? _mm256_slli_epi16(h, LEFT > 0 ? LEFT : 0)
               : LEFT < 0 ? _mm256_srli_epi16(h, LEFT < 0 ? -LEFT : 0) : h;
    return _mm256_or_si256(w, _mm256_and_si256(moved, _mm256_set1_epi8(MASK)));
}
KVP_INLINE F32 floats(Ints v) { return _mm256_cvtepi32_ps(v); }
KVP_INLINE Ints byte_ints(const uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
KVP_INLINE F32 byte_floats(const uint8_t* p) { return _mm256_cvtepi32_ps(byte_ints(p)); }
KVP_INLINE F32 signed_byte_floats(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}

// Two products of 6 bits with 7 bits, and a second such pair, fit 16 bits: 4 * 63 * 127 = 32,004.
template <int BITS> struct ByteDot {
    static constexpr int BIAS = 0;
    struct Pair { Ints w0, w1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) { return {w0, w1}; }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        Ints sums = _mm256_add_epi16(_mm256_maddubs_epi16(w.w0, a0), _mm256_maddubs_epi16(w.w1, a1));
        return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
    }
};
// 8 bits as signed ones: |w| and a with w's sign; 2 * 128 * 127 = 32,512 fits 16 bits.
template <> struct ByteDot<8> {
    static constexpr int BIAS = 128;
    struct Pair { Ints w0, w1, size0, size1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) {
        const Ints sign = _mm256_set1_epi8((char)0x80);
        Ints s0 = _mm256_xor_si256(w0, sign), s1 = _mm256_xor_si256(w1, sign);
        return {s0, s1, _mm256_abs_epi8(s0), _mm256_abs_epi8(s1)};
    }
    KVP_INLINE Ints one(Ints acc, Ints w, Ints size, Ints a) {
        Ints sums = _mm256_maddubs_epi16(size, _mm256_sign_epi8(a, w));
        return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
    }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        return one(one(acc, w.w0, w.size0, a0), w.w1, w.size1, a1);
    }
};
