// Eight elements at a time, of neighbouring channels: dim is a multiple of 16. Four vectors of states take turns.
#pragma once

// For each set of lanes that take a word: which of the next words each lane takes.
struct WordOrder {
    uint8_t lane[256][8];
    constexpr WordOrder() : lane() {
        for (int set = 0; set < 256; set++) {
            int n = 0;
            for (int i = 0; i < 8; i++) lane[set][i] = set >> i & 1 ? (uint8_t)n++ : (uint8_t)0;
        }
    }
};
static constexpr WordOrder WORD_ORDER = WordOrder();

template <int BYTES>
static inline int decode_vectors(CodedFrame& f, void* out) {
    const int dim = f.shape.dim, positions = f.shape.positions;
    const uint32_t *table = f.table, *first = f.first, *centre = f.centre, *flip = f.flip;
    const uint8_t* halves = f.halves;
    uint32_t* place = f.place;
    const __m256i slots = _mm256_set1_epi32(SCALE - 1), one = _mm256_set1_epi32(1);
    const __m256i by_sign = _mm256_set1_epi32((int)f.by_sign), low_mask = _mm256_set1_epi32(127);
    const __m256i upper_mask = _mm256_set1_epi32(0x1fe), symbol_mask = _mm256_set1_epi32(511);
    // Lane i's 7 bits begin at bit 7 * i of 7 bytes.
    const __m256i pairs = _mm256_setr_epi8(0, 1, -1, -1, 0, 1, -1, -1, 1, 2, -1, -1, 2, 3, -1, -1,  //
                                           3, 4, -1, -1, 4, 5, -1, -1, 5, 6, -1, -1, 6, 7, -1, -1);
    const __m256i shift = _mm256_setr_epi32(0, 7, 6, 5, 4, 3, 2, 1);
    uint8_t tail[128];
    const uint8_t *p = f.words, *end = f.end, *bits = f.bits;
    __m256i state[4];
    for (int j = 0; j < 4; j++) state[j] = _mm256_loadu_si256((const __m256i*)(f.state + 8 * j));
    int64_t i = 0;
    for (int h = 0; h < f.shape.heads; h++) {
        for (int r = 0; r < positions; r++) {
            for (int c = h * dim; c < (h + 1) * dim; c += 8, i += 8, bits += 7) {
                if (words_at(&p, &end, tail, 16)) return -1;
                __m256i x = state[0];
                __m256i at = _mm256_add_epi32(_mm256_loadu_si256((const __m256i*)(place + c)), _mm256_and_si256(x, slots));
                // As in decode_avx512.h: with a mask that the compiler does not know, gathers do not wait for one another.
                __m256i lanes = _mm256_set1_epi32(-1);
                __asm__("" : "+x"(lanes));
                __m256i e = _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), (const int*)table, at, lanes, 4);
                x = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_and_si256(e, slots), _mm256_srli_epi32(x, SCALE_BITS)),
                                     _mm256_and_si256(_mm256_srli_epi32(e, SCALE_BITS), slots));
                __m256i short_ones = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
                int set = _mm256_movemask_ps(_mm256_castsi256_ps(short_ones));
                __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
                __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)WORD_ORDER.lane[set]));
                words = _mm256_permutevar8x32_epi32(words, order);
                x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), short_ones);
                p += 2 * __builtin_popcount((unsigned)set);

                __m256i symbol = _mm256_srli_epi32(e, 2 * SCALE_BITS), sign = _mm256_and_si256(symbol, one);
                __m256i turned = _mm256_and_si256(_mm256_cmpeq_epi32(sign, one), by_sign);
                _mm256_storeu_si256((__m256i*)(place + c),
                                    _mm256_add_epi32(_mm256_loadu_si256((const __m256i*)(first + c)), turned));
                __m256i t = _mm256_add_epi32(symbol, _mm256_loadu_si256((const __m256i*)(centre + c)));
                t = _mm256_and_si256(_mm256_and_si256(t, symbol_mask), upper_mask);
                sign = _mm256_xor_si256(sign, _mm256_loadu_si256((const __m256i*)(flip + c)));
                __m256i raw = _mm256_broadcastsi128_si256(_mm_loadl_epi64((const __m128i*)bits));
                raw = _mm256_srlv_epi32(_mm256_shuffle_epi8(raw, pairs), shift);
                __m256i upper = _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi32(t, 6), _mm256_slli_epi32(sign, 15)),
                                                _mm256_and_si256(raw, low_mask));
                if (BYTES == 2) {
                    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(upper, upper), 0x08);
                    _mm_storeu_si128((__m128i*)((uint16_t*)out + i), _mm256_castsi256_si128(packed));
                } else {
                    __m256i half = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)(halves + 2 * i)));
                    _mm256_storeu_si256((__m256i*)((uint32_t*)out + i), _mm256_or_si256(_mm256_slli_epi32(upper, 16), half));
                }
                state[0] = state[1];
                state[1] = state[2];
                state[2] = state[3];
                state[3] = x;
            }
        }
    }
    for (int j = 0; j < 4; j++) _mm256_storeu_si256((__m256i*)(f.state + (i + 8 * j) % LANES), state[j]);
    f.words = p;
    f.end = end;
    return 0;
}
