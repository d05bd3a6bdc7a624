// Any 64-bit Arm.
#include <arm_neon.h>
#define KVP_ISA neon
#define KVP_SIMD_NEON
#include "entry.inc"
