// The kernels of one instruction set, as functions of plain C types: the only way from the C interface into a namespace
// that is compiled with instructions of its own.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Plain data, the same types for all instruction sets: they are found from inside a set's namespace too.
namespace kvproxy {
#include "../threads/team.h"
#include "../product/packed.h"
#include "../attention/pages.h"
#include "../decoder/decoder.h"
}  // namespace kvproxy

struct kvp_kernels {
    const char* name;
    int lanes;     // float32 lanes of a vector
    int pair_dot;  // whether products of bf16 pairs are one instruction
};

extern "C" {
// Null where the set was not built: another processor, or a compiler that does not know its flags.
#define KVP_TABLE __attribute__((weak, visibility("hidden")))
extern const struct kvp_kernels kvp_kernels_portable;  // always there
extern const struct kvp_kernels kvp_kernels_avx2 KVP_TABLE;
extern const struct kvp_kernels kvp_kernels_avx512 KVP_TABLE;
extern const struct kvp_kernels kvp_kernels_avx512bf16 KVP_TABLE;
extern const struct kvp_kernels kvp_kernels_amx KVP_TABLE;
extern const struct kvp_kernels kvp_kernels_neon KVP_TABLE;
extern const struct kvp_kernels kvp_kernels_neonbf16 KVP_TABLE;
}

// The kernels in use.
const struct kvp_kernels* kvp_kernels_in_use(void);
