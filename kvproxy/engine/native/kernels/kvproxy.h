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

enum { KVP_OK = 0, KVP_BAD_ARGUMENT = -1, KVP_NO_MEMORY = -2, KVP_UNSUPPORTED = -3 };

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
