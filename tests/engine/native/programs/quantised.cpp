// Products of quantised weights against float64 on the weights that kvp_read_quantised gives, and their rows' bits.
#include "check.h"

namespace {

struct Kind {
    int kind, block, bytes, halves;  // weights and bytes of a block; float16 factors at its start
    int second;                      // where another factor lies, or -1
} const kinds[] = {  // see quantised/blocks.h
    {2, 32, 18, 1, -1}, {6, 32, 22, 1, -1}, {8, 32, 34, 1, -1}, {12, 256, 144, 2, -1},
    {13, 256, 176, 2, -1}, {14, 256, 210, 0, 208}, {100, 32, 20, 1, -1},
};

// Random bits, but factors between 1/64 and 1/16.
void fill_rows(Random& r, const Kind& k, Array<uint8_t>& data) {
    for (int64_t i = 0; i < data.n; i++) data[i] = (uint8_t)r.next();
    for (int64_t block = 0; block + k.bytes <= data.n; block += k.bytes) {
        for (int h = 0; h < k.halves; h++) put(data.p + block + 2 * h, 0, KVP_F16, (float)r.between(16, 63) / 1024.0f);
        if (k.second >= 0) put(data.p + block + k.second, 0, KVP_F16, (float)r.between(16, 63) / 1024.0f);
        if (k.kind == 100) data[block + 2] &= 15, data[block + 3] = 0;
    }
}

}  // namespace

void fuzz_quantised(Random& r) {
    const Kind& k = kinds[r.between(0, (int)(sizeof kinds / sizeof *kinds) - 1)];
    int64_t width = (int64_t)k.block * r.between(1, k.block == 256 ? 3 : 9), columns = r.between(1, 100);
    int64_t rows = columns + r.between(0, 3), row_bytes = width / k.block * k.bytes;
    Array<uint8_t> data(rows * row_bytes);
    fill_rows(r, k, data);
    kvp_block_rows source = {data.p, rows, row_bytes, k.kind};
    Array<float> weights(rows * width);
    called(kvp_read_quantised(&source, width, weights.p, r.between(1, 4)));
    Array<int32_t> order(columns);
    Array<float> bias(columns);
    for (int64_t c = 0; c < columns; c++) {
        order[c] = r.chance(9) ? -1 : r.between(0, (int)rows - 1);
        bias[c] = r.uniform();
    }
    bool biased = r.chance(2);
    const float* given = biased ? bias.p : nullptr;
    kvp_matrix* m = kvp_matrix_new_quantised(columns, width, &source, 1, order.p, given, r.between(1, 4));
    CHECK(m, "%s", kvp_last_error());
    int64_t count = r.between(1, r.chance(4) ? 150 : 24);
    Array<float> x(count * width), y(count * columns);
    for (int64_t i = 0; i < x.n; i++) x[i] = r.uniform();
    called(kvp_linear(m, x.p, KVP_F32, count, y.p, 1));
    for (int64_t row = 0; row < count; row++) {
        for (int64_t c = 0; c < columns; c++) {
            double want = biased ? bias[c] : 0.0, size = fabs(want), error = 0;
            for (int64_t i = 0; i < width; i++) {
                double w = order[c] < 0 ? 0.0 : weights[order[c] * width + i], term = w * x[row * width + i];
                want += term;
                size += fabs(term);
                error += w * w;
            }
            // Rows are rounded to 8 bits by groups: half a step of 1/127 of a group's largest, at random.
            double most = 6 * sqrt(error) / 254 + size * 1e-3 + 1e-4;
            near(y[row * columns + c], want, most, "quantised product", row * columns + c);
        }
    }
    for (int threads = 2; threads <= 4; threads++) {
        Array<float> again(count * columns);
        called(kvp_linear(m, x.p, KVP_F32, count, again.p, threads));
        CHECK(again.same(y), "%d threads, kind %d", threads, k.kind);
    }
    for (int i = 0; i < 5; i++) {
        int64_t first = r.between(0, (int)count - 1), n = i == 0 ? 1 : r.between(1, (int)(count - first));
        Array<float> part(n * width), some(n * columns);
        memcpy(part.p, x.p + first * width, part.bytes);
        called(kvp_linear(m, part.p, KVP_F32, n, some.p, r.between(1, 4)));
        bool same = !memcmp(some.p, y.p + first * columns, some.bytes);
        CHECK(same, "rows %lld to %lld of %lld, kind %d", (long long)first, (long long)(first + n),
              (long long)count, k.kind);
    }
    kvp_matrix_free(m);
}
