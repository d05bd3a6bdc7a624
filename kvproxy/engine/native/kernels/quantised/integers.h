// Integer vectors of the instruction set: L 32-bit lanes, each also 4 bytes (a quad of k of one column).
//
//   Ints; bytes(p)                 L quads
//   quad(p)                        the 4 bytes at p in every lane
//   ints1(x), minus_product(a, x)  x in every lane; -a * x lane by lane
//   low_bits(w), high_bits(w)      the low, the high 4 bits of each byte
//   with_bits<MASK, LEFT>(w, h)    w | h << LEFT & MASK, byte by byte (LEFT < 0: shifted to the right)
//   floats(v)                      lanes to float
//   byte_ints(p), byte_floats(p), signed_byte_floats(p)   L bytes to lanes
//   ByteDot<BITS>::prepare(w0, w1) two registers of unsigned bytes below 2^BITS for dot
//   ByteDot<BITS>::dot(acc, w, a0, a1)  acc + the products of w0 with the signed bytes a0 and of w1 with a1 (each at
//                                  least -127), exact
//   ByteDot<BITS>::BIAS            what dot has taken from each unsigned byte: 128 where 8 bits are multiplied as signed
#pragma once

#if defined(KVP_SIMD_AVX512)
#include "integers_avx512.h"
#elif defined(KVP_SIMD_AVX2)
#include "integers_avx2.h"
#elif defined(KVP_SIMD_NEON)
#include "integers_neon.h"
#else
#include "integers_portable.h"
#endif
