// What the library says of itself.
#include "errors.h"
#include <stdarg.h>
#include <stdio.h>

#ifndef KVP_SOURCE_DIGEST  // by a command line of one's own, not compile_library.py's
#define KVP_SOURCE_DIGEST "unknown"
#define KVP_BUILT_BY "unknown"
#endif

namespace {

thread_local char last_error[400];
// compile_library.py finds it in the file by these words, without loading it.
__attribute__((used)) const char built_from[] = "kvproxy kernels " KVP_SOURCE_DIGEST " " KVP_BUILT_BY;

}  // namespace

int kvp_fail(int code, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return code;
}

KVP_API int kvp_abi_version(void) { return KVP_ABI; }
KVP_API const char* kvp_source_digest(void) { return KVP_SOURCE_DIGEST; }
KVP_API const char* kvp_last_error(void) { return last_error; }
KVP_API const char* kvp_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
