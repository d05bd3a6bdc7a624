// 64-bit Arm with the dot product of bf16 pairs: Graviton 3 and later, Neoverse V1, Apple M2.
#include <arm_neon.h>
#define KVP_ISA neonbf16
#define KVP_SIMD_NEON
#define KVP_PAIR_DOT 1
#include "entry.inc"
