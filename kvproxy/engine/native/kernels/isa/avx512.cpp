// x86-64 with AVX-512 F, BW, VL and DQ.
#include <immintrin.h>
#define KVP_ISA avx512
#define KVP_SIMD_AVX512
#include "entry.inc"
