// x86-64 with AVX2, FMA and F16C: most machines since 2013.
#include <immintrin.h>
#define KVP_ISA avx2
#define KVP_SIMD_AVX2
#include "entry.inc"
