// Products against float64, and their rows' bits against other numbers of rows, threads and mates.
#include "check.h"

namespace {

struct Weights {
    int dtype;
    int64_t columns, width, stride, rows;
    Array<uint8_t> data;
    Array<int32_t> order;
    Array<float> bias;
    float at(int64_t column, int64_t k) const {
        return order[column] < 0 ? 0.0f : get(data.p, order[column] * stride + k, dtype);
    }
};

}  // namespace

void fuzz_product(Random& r) {
    int dtype = r.between(KVP_BF16, KVP_F32);
    int64_t columns = r.between(1, r.chance(3) ? 200 : 70), width = r.between(1, r.chance(3) ? 700 : 90);
    int64_t stride = width + r.between(0, 3), rows = columns + r.between(0, 5);
    // The last row ends with its last element, not with its stride.
    Weights w = {dtype, columns, width, stride, rows, Array<uint8_t>(((rows - 1) * stride + width) * element(dtype)),
                 Array<int32_t>(columns), Array<float>(columns)};
    for (int64_t i = 0; i < (rows - 1) * stride + width; i++) put(w.data.p, i, dtype, plain_value(r));
    for (int64_t c = 0; c < columns; c++) {
        w.order[c] = r.chance(9) ? -1 : r.between(0, (int)rows - 1);
        w.bias[c] = r.uniform();
    }
    bool biased = r.chance(2);
    kvp_rows source = {w.data.p, rows, stride};
    const float* bias = biased ? w.bias.p : nullptr;
    kvp_matrix* m = kvp_matrix_new(dtype, columns, width, &source, 1, w.order.p, bias, r.between(1, 4));
    CHECK(m, "%s", kvp_last_error());

    int64_t count = r.between(1, r.chance(4) ? 300 : 40);
    int x_dtype = r.between(KVP_BF16, KVP_F32);
    Array<uint8_t> x(count * width * element(x_dtype));
    for (int64_t i = 0; i < count * width; i++) put(x.p, i, x_dtype, plain_value(r));
    Array<float> y(count * columns);
    called(kvp_linear(m, x.p, x_dtype, count, y.p, 1));
    for (int64_t row = 0; row < count; row++) {
        for (int64_t c = 0; c < columns; c++) {
            double want = biased ? w.bias[c] : 0.0, size = fabs(want);
            for (int64_t k = 0; k < width; k++) {
                double term = (double)get(x.p, row * width + k, x_dtype) * w.at(c, k);
                want += term;
                size += fabs(term);
            }
            near(y[row * columns + c], want, size * (double)(width + 4) * 0x1p-24, "product", row * columns + c);
        }
    }
    for (int threads = 2; threads <= 4; threads++) {
        Array<float> again(count * columns);
        called(kvp_linear(m, x.p, x_dtype, count, again.p, threads));
        CHECK(again.same(y), "%d threads, %lld rows of %lld x %lld", threads, (long long)count, (long long)columns,
              (long long)width);
    }
    for (int i = 0; i < 6; i++) {
        int64_t first = r.between(0, (int)count - 1), n = i == 0 ? 1 : r.between(1, (int)(count - first));
        Array<uint8_t> part(n * width * element(x_dtype));
        memcpy(part.p, x.p + first * width * element(x_dtype), part.bytes);
        Array<float> some(n * columns);
        called(kvp_linear(m, part.p, x_dtype, n, some.p, r.between(1, 4)));
        CHECK(!memcmp(some.p, y.p + first * columns, some.bytes), "rows %lld to %lld of %lld", (long long)first,
              (long long)(first + n), (long long)count);
    }
    kvp_matrix_free(m);
}
