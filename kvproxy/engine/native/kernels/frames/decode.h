// Decoding of a frame's elements with the instructions of this set; see format.h.
#pragma once

KVP_INLINE uint32_t frame_element(uint32_t symbol, uint32_t centre, uint32_t flip, uint32_t low) {
    uint32_t t = ((symbol + centre) & 511) ^ flip;
    return (t & 0x1fe) << 6 | (t & 1) << 15 | low;
}

KVP_INLINE void store_element(void* out, int64_t i, uint32_t upper, const CodedFrame& f) {
    if (f.shape.element_bytes == 2) {
        __builtin_memcpy((char*)out + 2 * i, &upper, 2);
        return;
    }
    __builtin_memcpy((char*)out + 4 * i, f.halves + 2 * i, 2);
    __builtin_memcpy((char*)out + 4 * i + 2, &upper, 2);
}

// One element after the other: for any shape, and what the vector forms are tested against.
static inline int decode_elements(CodedFrame& f, void* out) {
    const uint8_t* p = f.words;
    int64_t i = 0;
    for (int h = 0; h < f.shape.heads; h++) {
        for (int r = 0; r < f.shape.positions; r++) {
            for (int c = h * f.shape.dim; c < (h + 1) * f.shape.dim; c++, i++) {
                uint32_t& x = f.state[i % LANES];
                uint32_t e = f.table[f.place[c] + (x & (SCALE - 1))];
                x = (e & (SCALE - 1)) * (x >> SCALE_BITS) + (e >> SCALE_BITS & (SCALE - 1));
                if (x < KVP_LEAST_STATE) {
                    uint16_t word;
                    if (f.end - p < 2) return -1;
                    __builtin_memcpy(&word, p, 2);
                    x = x << 16 | word;
                    p += 2;
                }
                uint32_t symbol = e >> 2 * SCALE_BITS, low;
                f.place[c] = f.first[c] + (symbol & 1) * f.by_sign;
                __builtin_memcpy(&low, f.bits + LOW_BITS * i / 8, 4);
                store_element(out, i, frame_element(symbol, f.centre[c], f.flip[c], low >> (LOW_BITS * i % 8) & 127), f);
            }
        }
    }
    f.words = p;
    return 0;
}

#if defined(KVP_SIMD_AVX512) || defined(KVP_SIMD_AVX2)
// A vector's words: `longest` bytes can be read at *p, or a copy of the last ones with zeros behind is taken. -1 where
// words were taken that are not there.
KVP_INLINE int words_at(const uint8_t** p, const uint8_t** end, uint8_t* tail, int longest) {
    if (__builtin_expect(*end - *p >= longest, 1)) return 0;
    if (*p > *end) return -1;
    if (*p >= tail && *p <= tail + 64) return 0;
    int64_t left = *end - *p;
    __builtin_memset(tail, 0, 128);
    __builtin_memcpy(tail, *p, (size_t)left);
    *p = tail;
    *end = tail + left;
    return 0;
}
#endif

#if defined(KVP_SIMD_AVX512)
#include "decode_avx512.h"
#elif defined(KVP_SIMD_AVX2)
#include "decode_avx2.h"
#endif

// 0, or -1 where the words or the states at the end are no encoder's. `out`: all elements of the shape, written in order.
static inline int decode_frame(CodedFrame& f, void* out) {
#if defined(KVP_SIMD_AVX512) || defined(KVP_SIMD_AVX2)
    int failed = f.shape.dim % 16             ? decode_elements(f, out)
                 : f.shape.element_bytes == 2 ? decode_vectors<2>(f, out)
                                              : decode_vectors<4>(f, out);
#else
    int failed = decode_elements(f, out);
#endif
    if (failed || f.words != f.end) return -1;
    for (int i = 0; i < LANES; i++) {
        if (f.state[i] != KVP_LEAST_STATE) return -1;
    }
    return 0;
}
