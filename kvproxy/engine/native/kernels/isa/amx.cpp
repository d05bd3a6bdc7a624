// AVX512_BF16 with products by AMX tiles: Intel since Sapphire Rapids.
#include <immintrin.h>
#define KVP_ISA amx
#define KVP_SIMD_AVX512
#define KVP_PAIR_DOT 1
#define KVP_AMX 1
#include "entry.inc"
