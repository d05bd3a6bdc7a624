// What went wrong in the last call, as a sentence, for each thread; and the checks that many calls have in common.
#pragma once
#include "../kvproxy.h"

enum { KVP_MOST_ROWS = 1 << 16, KVP_MOST_THREADS = 1024 };

// Keeps the sentence and returns `code`, so that a check is one line: `if (...) return kvp_fail(KVP_BAD_ARGUMENT, ...)`.
int kvp_fail(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

inline int kvp_check_rows(int64_t rows) {
    if (rows >= 1 && rows <= KVP_MOST_ROWS) return KVP_OK;
    return kvp_fail(KVP_BAD_ARGUMENT, "%lld rows are not 1 to %d", (long long)rows, (int)KVP_MOST_ROWS);
}

inline int kvp_check_threads(int32_t threads) {
    if (threads >= 1 && threads <= KVP_MOST_THREADS) return KVP_OK;
    return kvp_fail(KVP_BAD_ARGUMENT, "%d threads are not 1 to %d", (int)threads, (int)KVP_MOST_THREADS);
}

inline int kvp_check_aligned(const void* memory, unsigned bytes, const char* name) {
    if ((uintptr_t)memory % bytes == 0) return KVP_OK;
    return kvp_fail(KVP_BAD_ARGUMENT, "the address of %s is not a multiple of %u", name, bytes);
}
