// The vector types of the instruction set that this translation unit is compiled for: one of the files beside this one.
//
// Every kernel header is included inside `namespace kvproxy::KVP_ISA` of one translation unit per instruction set
// (isa/*.cpp). All functions there have internal linkage (KVP_INLINE, or `template <...> static`), and nothing of the
// standard library is called: the linker keeps one copy of an inline function, perhaps the one with instructions that
// this machine lacks.
//
// A set of vector types gives, for L float32 lanes (L divides 16):
//   F32, Words                      L floats; L 32-bit words
//   zero() set1(x) load(p) store(p, v)   unaligned
//   load_first(p, n) store_first(p, v, n)  the first n <= L lanes; the others load 0
//   add sub mul div sqrt max min     lane by lane
//   fma(a, b, c)                     a * b + c, one rounding where the set has fused multiply-add, else two
//   round_down(v), scale_by_power(v, n)   v * 2^n for an integral n in [-126, 127]
//   keep_where_at_least(v, x, y)    v where x >= y, else 0 (0 where either is NaN)
//   sum(v), largest(v)               over the lanes, in one fixed order
//   words(p), word1(u32), store_words(p, w), store_words_first(p, w, n)
//   even(w), odd(w)                  bf16 pairs to float: the low and the high half of each word
//   pair(e, o)                       floats to bf16 pairs, round to nearest even
//   neighbours(a, b)                 the 2 L floats of a, then b, to bf16 pairs of neighbours (math.h; a set may have its own)
//   KVP_PAIR_DOT                     1 where dot(acc, a, b) exists: acc + the two products of bf16 pairs
//   half(p)                          L float16 at p to float; store_half(p, v)
#pragma once
#include <stddef.h>
#include <stdint.h>

#define KVP_INLINE static inline __attribute__((always_inline))
// In front of a loop over registers.
#if defined(__clang__)
#define KVP_UNROLL _Pragma("unroll")
#else
#define KVP_UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(KVP_SIMD_AVX512)
#include "avx512.h"
#elif defined(KVP_SIMD_AVX2)
#include "avx2.h"
#elif defined(KVP_SIMD_NEON)
#include "neon.h"
#else
#include "portable.h"
#endif
