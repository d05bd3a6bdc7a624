// AVX-512 with the dot product of bf16 pairs: AMD since Zen 4, Intel's Cooper Lake and Sapphire Rapids.
#include <immintrin.h>
#define KVP_ISA avx512bf16
#define KVP_SIMD_AVX512
#define KVP_PAIR_DOT 1
#include "entry.inc"
