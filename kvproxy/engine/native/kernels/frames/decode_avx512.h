// Sixteen elements at a time, of neighbouring channels: dim is a multiple of 16. Two vectors of states take turns.
#pragma once

template <int BYTES>
static inline int decode_vectors(CodedFrame& f, void* out) {
    const int dim = f.shape.dim, positions = f.shape.positions;
    const uint32_t *table = f.table, *first = f.first, *centre = f.centre, *flip = f.flip;
    const uint8_t* halves = f.halves;
    uint32_t* place = f.place;
    const __m512i slots = _mm512_set1_epi32(SCALE - 1), least = _mm512_set1_epi32((int)KVP_LEAST_STATE);
    const __m512i by_sign = _mm512_set1_epi32((int)f.by_sign), one = _mm512_set1_epi32(1);
    const __m512i low_mask = _mm512_set1_epi32(127), symbol_mask = _mm512_set1_epi32(511);
    const __m512i upper_mask = _mm512_set1_epi32(0x1fe);
    // Lane i's 7 bits begin at bit 7 * i: its bytes, from the 14 of all lanes, and the shift in the first of them.
    const __m512i bit = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(LOW_BITS));
    const __m512i byte = _mm512_maskz_srli_epi32(ALL, bit, 3);
    const __m512i bytes = _mm512_or_si512(byte, _mm512_maskz_slli_epi32(ALL, _mm512_add_epi32(byte, one), 8));
    const __m512i pairs = _mm512_or_si512(bytes, _mm512_set1_epi32((int)0x80800000u));
    const __m512i shift = _mm512_and_si512(bit, _mm512_set1_epi32(7));
    uint8_t tail[128];
    const uint8_t *p = f.words, *end = f.end, *bits = f.bits;
    __m512i x = _mm512_loadu_si512(f.state), other = _mm512_loadu_si512(f.state + 16);
    int64_t i = 0;
    for (int h = 0; h < f.shape.heads; h++) {
        for (int r = 0; r < positions; r++) {
            for (int c = h * dim; c < (h + 1) * dim; c += 16, i += 16, bits += 14) {
                if (words_at(&p, &end, tail, 32)) return -1;
                __m512i at = _mm512_add_epi32(_mm512_loadu_si512(place + c), _mm512_and_si512(x, slots));
                // Compilers leave out the zeros, since every lane is loaded; then a gather waits for whatever its register
                // held last, the vector before, and no two are under way.
                __mmask16 lanes = ALL;
                __asm__("" : "+Yk"(lanes));
                __m512i e = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes, at, (const int*)table, 4);
                x = _mm512_add_epi32(
                    _mm512_mullo_epi32(_mm512_and_si512(e, slots), _mm512_maskz_srli_epi32(ALL, x, SCALE_BITS)),
                    _mm512_and_si512(_mm512_maskz_srli_epi32(ALL, e, SCALE_BITS), slots));
                __mmask16 short_ones = _mm512_cmplt_epu32_mask(x, least);
                __m512i words = _mm512_maskz_cvtepu16_epi32(ALL, _mm256_loadu_si256((const __m256i*)p));
                __m512i longer = _mm512_or_si512(_mm512_maskz_slli_epi32(ALL, x, 16), _mm512_maskz_expand_epi32(short_ones, words));
                x = _mm512_mask_mov_epi32(x, short_ones, longer);
                p += 2 * __builtin_popcount(short_ones);

                __m512i symbol = _mm512_maskz_srli_epi32(ALL, e, 2 * SCALE_BITS);
                __m512i sign = _mm512_and_si512(symbol, one);
                __m512i turned = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(symbol, one), by_sign);
                _mm512_storeu_si512(place + c, _mm512_add_epi32(_mm512_loadu_si512(first + c), turned));
                __m512i t = _mm512_and_si512(_mm512_add_epi32(symbol, _mm512_loadu_si512(centre + c)), symbol_mask);
                sign = _mm512_xor_si512(sign, _mm512_loadu_si512(flip + c));
                __m512i raw = _mm512_maskz_broadcast_i32x4(ALL, _mm_loadu_si128((const __m128i*)bits));
                raw = _mm512_maskz_srlv_epi32(ALL, _mm512_shuffle_epi8(raw, pairs), shift);
                __m512i upper = _mm512_or_si512(
                    _mm512_or_si512(_mm512_maskz_slli_epi32(ALL, _mm512_and_si512(t, upper_mask), 6),
                                    _mm512_maskz_slli_epi32(ALL, sign, 15)),
                    _mm512_and_si512(raw, low_mask));
                if (BYTES == 2) {
                    _mm256_storeu_si256((__m256i*)((uint16_t*)out + i), _mm512_maskz_cvtepi32_epi16(ALL, upper));
                } else {
                    __m512i half = _mm512_maskz_cvtepu16_epi32(ALL, _mm256_loadu_si256((const __m256i*)(halves + 2 * i)));
                    _mm512_storeu_si512((uint32_t*)out + i, _mm512_or_si512(_mm512_maskz_slli_epi32(ALL, upper, 16), half));
                }
                __m512i next = other;
                other = x;
                x = next;
            }
        }
    }
    // The state that is next is that of element i.
    _mm512_storeu_si512(f.state + (i % LANES), x);
    _mm512_storeu_si512(f.state + ((i + 16) % LANES), other);
    f.words = p;
    f.end = end;
    return 0;
}
