// The C interface of the library: what Python calls through ctypes. Plain C types, no structures of the kernels' own
// except through opaque pointers, so that one build serves every Python and every torch.
//
// Every function that can fail checks its arguments before anything is read or written, and returns 0 or a code below 0,
// whose sentence kvp_last_error() gives on the same thread.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define KVP_ABI 1  // raised when a function's arguments or meaning change; library.py asks for the same
#define KVP_API extern "C" __attribute__((visibility("default")))

enum { KVP_OK = 0, KVP_BAD_ARGUMENT = -1, KVP_NO_MEMORY = -2, KVP_UNSUPPORTED = -3, KVP_DAMAGED = -4 };

KVP_API int kvp_abi_version(void);
KVP_API const char* kvp_source_digest(void);  // sha256 of the sources and flags, 64 hexadecimal digits
KVP_API const char* kvp_compiler(void);
KVP_API const char* kvp_last_error(void);  // of this thread; "" where nothing failed

// The functions GOMP_parallel, omp_get_thread_num and omp_get_num_threads of the library whose team torch uses.
KVP_API void kvp_use_openmp(void* parallel, void* number, void* count);

// The instruction sets that were built and that this machine has, best first, separated by spaces.
KVP_API const char* kvp_instruction_sets(void);
// Takes one of them; before that, the best one is in use. Not while other calls are under way.
KVP_API int kvp_choose(const char* name);
KVP_API const char* kvp_chosen(void);

// Elements of weights and rows; 3 and 4 are quantised weights.
enum { KVP_BF16 = 0, KVP_F16 = 1, KVP_F32 = 2 };

// Rows of weights in the caller's memory, `stride` elements apart.
struct kvp_rows {
    const void* data;
    int64_t rows, stride;
};

// A weight matrix [columns][width] in memory of the library's own. Its column c is row order[c] of all sources' rows, one
// source behind the other, or zeros where order[c] is -1; order null: all rows as they come. bias: [columns], or null.
// Null where that is not possible.
KVP_API struct kvp_matrix* kvp_matrix_new(int32_t dtype, int64_t columns, int64_t width, const struct kvp_rows* sources,
                                          int32_t count, const int32_t* order, const float* bias, int32_t threads);
KVP_API void kvp_matrix_free(struct kvp_matrix* matrix);
KVP_API int64_t kvp_matrix_bytes(const struct kvp_matrix* matrix);

// Rows of quantised weights as files hold them, `row_bytes` apart; kind: see quantised/blocks.h (GGUF's numbers).
struct kvp_block_rows {
    const void* data;
    int64_t rows, row_bytes;
    int32_t kind;
};

// The same from quantised rows. The 32 columns of a panel must be of one kind; different panels need not.
KVP_API struct kvp_matrix* kvp_matrix_new_quantised(int64_t columns, int64_t width, const struct kvp_block_rows* sources,
                                                    int32_t count, const int32_t* order, const float* bias,
                                                    int32_t threads);
// Quantised rows as float32 [rows][width]: the weights that the products compute with.
KVP_API int kvp_read_quantised(const struct kvp_block_rows* source, int64_t width, float* out, int32_t threads);

// y[rows][columns] = x[rows][width] times the matrix, plus its bias; x of KVP_BF16, KVP_F16 or KVP_F32.
KVP_API int kvp_linear(const struct kvp_matrix* matrix, const void* x, int32_t dtype, int64_t rows, float* y,
                       int32_t threads);
