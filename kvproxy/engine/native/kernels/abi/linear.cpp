// The product alone, of rows in the caller's memory: for tests, and for models whose layers run elsewhere.
#include "errors.h"
#include "matrix.h"
#include <stdlib.h>

using namespace kvproxy;

KVP_API int kvp_linear(const struct kvp_matrix* matrix, const void* x, int32_t dtype, int64_t rows, float* y,
                       int32_t threads) {
    if (!matrix || !x || !y) return kvp_fail(KVP_BAD_ARGUMENT, "the matrix, its rows or its result are missing");
    if (dtype != BF16 && dtype != F16 && dtype != F32_) {
        return kvp_fail(KVP_UNSUPPORTED, "rows of dtype %d cannot be multiplied", (int)dtype);
    }
    if (int e = kvp_check_rows(rows)) return e;
    if (int e = kvp_check_threads(threads)) return e;
    if (int e = kvp_check_aligned(x, dtype == F32_ ? 4 : 2, "the rows")) return e;
    if (int e = kvp_check_aligned(y, 4, "the result")) return e;
    const kvp_kernels* kernels = kvp_kernels_in_use();
    void* scratch = nullptr;
    if (posix_memalign(&scratch, 64, kernels->linear_scratch_bytes(&matrix->matrix, (int)rows, threads))) {
        return kvp_fail(KVP_NO_MEMORY, "no memory for a product of %lld rows", (long long)rows);
    }
    kernels->linear(&matrix->matrix, x, dtype, (int)rows, scratch, y, threads);
    free(scratch);
    return KVP_OK;
}
