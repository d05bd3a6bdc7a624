// Any 64-bit Arm.
#include <arm_neon.h>
#define KVP_ISA neon
#define KVP_SIMD_NEON
#if __has_include("../simd/neon.h")
#include "entry.inc"
#endif
