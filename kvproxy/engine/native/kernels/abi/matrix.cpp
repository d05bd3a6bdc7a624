// Weight matrices: made from rows of one or more tensors, in any order, and freed.
#include "matrix.h"
#include "errors.h"
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

using namespace kvproxy;

namespace {

const int64_t MOST_COLUMNS = 1 << 24, MOST_WIDTH = 1 << 24;
const size_t HUGE_PAGE = 2 << 20;

// Decode reads every weight once a step, and pays for each page of 4 KB that the processor looks up.
void* allocate_weights(size_t bytes) {
    size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes)) return nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == HUGE_PAGE) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: its failure changes nothing
#endif
    return memory;
}

size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

// The source's row for each column, null for a column of zeros; KVP_BAD_ARGUMENT where there is no such row.
int find_rows(const kvp_rows* sources, int32_t count, const int32_t* order, int64_t columns, int64_t width, int element,
              const void** rows) {
    int64_t given = 0;
    for (int32_t i = 0; i < count; i++) {
        const kvp_rows& s = sources[i];
        if (!s.data || s.rows < 1 || s.rows > MOST_COLUMNS || s.stride < width || s.stride > MOST_WIDTH) {
            return kvp_fail(KVP_BAD_ARGUMENT, "source %d of the matrix: %lld rows, %lld apart, of %lld elements", (int)i,
                            (long long)s.rows, (long long)s.stride, (long long)width);
        }
        given += s.rows;
    }
    if (!order && given != columns) {
        return kvp_fail(KVP_BAD_ARGUMENT, "%lld rows were given for %lld columns", (long long)given, (long long)columns);
    }
    for (int64_t c = 0; c < columns; c++) {
        int64_t row = order ? order[c] : c;
        rows[c] = nullptr;
        if (row == -1) continue;
        if (row < 0 || row >= given) {
            return kvp_fail(KVP_BAD_ARGUMENT, "column %lld: there is no row %lld of %lld", (long long)c, (long long)row,
                            (long long)given);
        }
        const kvp_rows* s = sources;
        for (; row >= s->rows; s++) row -= s->rows;
        rows[c] = (const char*)s->data + row * s->stride * element;
    }
    return KVP_OK;
}

}  // namespace

struct kvp_matrix* kvp_matrix_allocate(int dtype, int64_t columns, int64_t width, size_t panel_bytes, const float* bias) {
    size_t padded = (size_t)((columns + PANEL - 1) / PANEL * PANEL) * sizeof(float);
    size_t bytes = rounded(panel_bytes) + (bias ? padded : 0);
    kvp_matrix* made = (kvp_matrix*)calloc(1, sizeof(kvp_matrix));
    void* memory = made ? allocate_weights(bytes) : nullptr;
    if (!memory) {
        free(made);
        kvp_fail(KVP_NO_MEMORY, "no memory for a matrix of %lld x %lld", (long long)columns, (long long)width);
        return nullptr;
    }
    float* own = nullptr;
    if (bias) {
        own = (float*)((char*)memory + rounded(panel_bytes));
        memset(own, 0, padded);
        memcpy(own, bias, (size_t)columns * sizeof(float));
    }
    made->matrix = {dtype, columns, width, memory, own};
    made->memory = memory;
    made->bytes = bytes;
    return made;
}

KVP_API struct kvp_matrix* kvp_matrix_new(int32_t dtype, int64_t columns, int64_t width, const kvp_rows* sources,
                                          int32_t count, const int32_t* order, const float* bias, int32_t threads) {
    if (dtype != BF16 && dtype != F16 && dtype != F32_) {
        kvp_fail(KVP_UNSUPPORTED, "a matrix cannot be made from rows of dtype %d", (int)dtype);
        return nullptr;
    }
    if (columns < 1 || columns > MOST_COLUMNS || width < 1 || width > MOST_WIDTH || !sources || count < 1 || count > 64) {
        kvp_fail(KVP_BAD_ARGUMENT, "a matrix of %lld x %lld from %d sources", (long long)columns, (long long)width,
                 (int)count);
        return nullptr;
    }
    if (kvp_check_threads(threads)) return nullptr;
    // Whole panels of pointers: what stands behind the columns is null, a column of zeros.
    const void** rows = (const void**)calloc((size_t)(columns + PANEL - 1), sizeof(void*));
    if (!rows) {
        kvp_fail(KVP_NO_MEMORY, "no memory for a matrix of %lld x %lld", (long long)columns, (long long)width);
        return nullptr;
    }
    kvp_matrix* made = nullptr;
    if (find_rows(sources, count, order, columns, width, dtype == F32_ ? 4 : 2, rows) == KVP_OK) {
        const kvp_kernels* kernels = kvp_kernels_in_use();
        made = kvp_matrix_allocate(dtype, columns, width, kernels->matrix_bytes(dtype, columns, width), bias);
        if (made) kernels->pack_matrix(&made->matrix, made->memory, rows, threads);
    }
    free(rows);
    return made;
}

KVP_API void kvp_matrix_free(struct kvp_matrix* matrix) {
    if (!matrix) return;
    free(matrix->memory);
    free(matrix);
}

KVP_API int64_t kvp_matrix_bytes(const struct kvp_matrix* matrix) { return matrix ? (int64_t)matrix->bytes : 0; }
