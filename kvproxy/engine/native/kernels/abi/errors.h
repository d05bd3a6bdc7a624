// What went wrong in the last call, as a sentence, for each thread.
#pragma once
#include "../kvproxy.h"

// Keeps the sentence and returns `code`, so that a check is one line: `if (...) return kvp_fail(KVP_BAD_ARGUMENT, ...)`.
int kvp_fail(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));
