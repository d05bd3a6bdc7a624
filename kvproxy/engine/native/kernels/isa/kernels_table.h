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
#include "../frames/format.h"
}  // namespace kvproxy

// What is given to them was checked: see abi/.
struct kvp_kernels {
    const char* name;
    int lanes;     // float32 lanes of a vector
    int pair_dot;  // whether products of bf16 pairs are one instruction
    size_t (*matrix_bytes)(int dtype, int64_t columns, int64_t width);
    // rows: one for each column, whole panels of them; null: zeros
    void (*pack_matrix)(const kvproxy::Matrix* matrix, void* panels, const void* const* rows, int threads);
    size_t (*linear_scratch_bytes)(const kvproxy::Matrix* matrix, int rows, int threads);
    void (*linear)(const kvproxy::Matrix* matrix, const void* x, int dtype, int rows, void* scratch, float* y, int threads);
    // A matrix of quantised panels, whose entries stand at `memory` already; rows: blocks of each column, or null.
    void (*pack_quantised)(const kvproxy::Matrix* matrix, void* memory, const uint8_t* const* rows, int threads);
    void (*read_quantised)(const void* blocks, int64_t row_bytes, int kind, int64_t rows, int64_t width, float* out,
                           int threads);

    // See decoder/entry.h.
    size_t (*step_scratch_bytes)(const kvproxy::Decoder&, int rows, int threads);
    void* (*new_step_plan)(void);
    void (*free_step_plan)(void* plan);
    int (*run_step)(const kvproxy::Decoder&, const kvproxy::Step&, const kvproxy::Pool&, char* scratch, void* plan,
                    int threads);
    size_t (*logits_scratch_bytes)(const kvproxy::Product& head, int rows);
    void (*run_logits)(const kvproxy::Product& head, const float* hidden, int rows, void* scratch, float* logits,
                       int threads);

    // See paged.h.
    void (*write_kv)(const kvproxy::LayerPages&, const kvproxy::AttentionRows&, const float* k, const float* v, int threads);
    int (*attend_rows)(const kvproxy::LayerPages&, const kvproxy::AttentionRows&, int group, const float* q, float* out,
                       int threads);
    void (*read_rows)(const kvproxy::LayerPages&, int head, int page, int n, void* keys, void* values);
    void (*write_rows)(const kvproxy::LayerPages&, int head, int page, int n, const void* keys, const void* values);

    // See frames/decode.h.
    int (*decode_frame)(kvproxy::CodedFrame&, void* out);
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
