// Integer vectors of AVX-512; the dot product of quads in one instruction where AVX512_VNNI is there, else by 16 bits.
#pragma once

typedef __m512i Ints;
KVP_INLINE Ints bytes(const void* p) { return _mm512_loadu_si512(p); }
KVP_INLINE Ints ints1(int x) { return _mm512_set1_epi32(x); }
KVP_INLINE Ints quad(const int8_t* p) {
    int x;
    __builtin_memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}
KVP_INLINE Ints minus_product(Ints a, int x) { return _mm512_mullo_epi32(a, _mm512_set1_epi32(-x)); }
KVP_INLINE Ints low_bits(Ints w) { return _mm512_and_si512(w, _mm512_set1_epi8(15)); }
KVP_INLINE Ints high_bits(Ints w) { return _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15)); }
template <int MASK, int LEFT> KVP_INLINE Ints with_bits(Ints w, Ints h) {
    Ints moved = LEFT > 0 ? _mm512_slli_epi16(h, LEFT > 0 ? LEFT : 0)
               : LEFT < 0 ? _mm512_srli_epi16(h, LEFT < 0 ? -LEFT : 0) : h;
    return _mm512_or_si512(w, _mm512_and_si512(moved, _mm512_set1_epi8(MASK)));
}
KVP_INLINE F32 floats(Ints v) { return _mm512_cvtepi32_ps(v); }
KVP_INLINE Ints byte_ints(const uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)); }
KVP_INLINE F32 byte_floats(const uint8_t* p) { return _mm512_cvtepi32_ps(byte_ints(p)); }
KVP_INLINE F32 signed_byte_floats(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
}

#if defined(__AVX512VNNI__)
template <int BITS> struct ByteDot {
    static constexpr int BIAS = 0;
    struct Pair { Ints w0, w1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) { return {w0, w1}; }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(acc, w.w0, a0), w.w1, a1);
    }
};
#else
// Two products of 6 bits with 7 bits, and a second such pair, fit 16 bits: 4 * 63 * 127 = 32,004.
template <int BITS> struct ByteDot {
    static constexpr int BIAS = 0;
    struct Pair { Ints w0, w1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) { return {w0, w1}; }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        Ints sums = _mm512_add_epi16(_mm512_maddubs_epi16(w.w0, a0), _mm512_maddubs_epi16(w.w1, a1));
        return _mm512_add_epi32(acc, _mm512_madd_epi16(sums, _mm512_set1_epi16(1)));
    }
};
// 8 bits as signed ones: |w| and a with w's sign; 2 * 128 * 127 = 32,512 fits 16 bits.
template <> struct ByteDot<8> {
    static constexpr int BIAS = 128;
    struct Pair { Ints w0, w1; __mmask64 minus0, minus1; };
    KVP_INLINE Pair prepare(Ints w0, Ints w1) {
        const Ints sign = _mm512_set1_epi8((char)0x80);
        Ints s0 = _mm512_xor_si512(w0, sign), s1 = _mm512_xor_si512(w1, sign);
        return {_mm512_abs_epi8(s0), _mm512_abs_epi8(s1), _mm512_movepi8_mask(s0), _mm512_movepi8_mask(s1)};
    }
    KVP_INLINE Ints one(Ints acc, Ints w, __mmask64 minus, Ints a) {
        Ints signed_a = _mm512_mask_sub_epi8(a, minus, _mm512_setzero_si512(), a);
        return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(w, signed_a), _mm512_set1_epi16(1)));
    }
    KVP_INLINE Ints dot(Ints acc, const Pair& w, Ints a0, Ints a1) {
        return one(one(acc, w.w0, w.minus0, a0), w.w1, w.minus1, a1);
    }
};
#endif
