// Rows as quantised products read them: signed bytes by groups of 32 along k, each group with a float32 scale.
//
// A row is written as float32 (its slices need not be whole groups) and quantised when its product begins. A row's bytes
// and scales depend on its own values alone. Values that are not finite make the group's scale infinite or NaN.
#pragma once

struct RowGroup {
    float scale;
    float minus_sum;  // -scale * (sum[0] + sum[1])
    int32_t sum[2];   // of the bytes of each half
};

struct QuantisedRow {
    float* values;
    RowGroup* groups;
    int8_t* bytes;
};

static inline size_t quantised_row_bytes(int64_t width) {
    size_t groups = (size_t)((width + GROUP - 1) / GROUP);
    return (groups * (GROUP * 5 + sizeof(RowGroup)) + 63) / 64 * 64;
}
static inline QuantisedRow quantised_row(const PackedRows& x, int row) {
    size_t groups = (size_t)((x.width + GROUP - 1) / GROUP);
    char* p = (char*)x.data + quantised_row_bytes(x.width) * (size_t)row;
    QuantisedRow r;
    r.values = (float*)p;
    r.groups = (RowGroup*)(p + groups * GROUP * 4);
    r.bytes = (int8_t*)(p + groups * (GROUP * 4 + sizeof(RowGroup)));
    return r;
}

// The product's packed_rows_bytes and pack_slice for quantised matrices.
static inline size_t quantised_rows_bytes(int rows, int64_t width) { return quantised_row_bytes(width) * (size_t)rows; }
static inline void quantised_pack_slice(const PackedRows& x, int row, int64_t k, const float* values, int count) {
    __builtin_memcpy(quantised_row(x, row).values + k, values, sizeof(float) * (size_t)count);
}

// Adding 1.5 * 2^23 rounds to the nearest even integer, which then stands in the low bits: the same in every set.
static inline void quantise_group(const QuantisedRow& r, int64_t group) {
    const float* v = r.values + group * GROUP;
    const F32 low = zero();
    F32 top = low;
    for (int i = 0; i < GROUP; i += L) {
        F32 x = load(v + i);
        top = max(top, max(x, sub(low, x)));
    }
    float size = largest(top);
    float inverse = size > 0.0f ? 127.0f / size : 0.0f;
    const F32 factor = set1(inverse), magic = set1(12582912.0f);
    float rounded[GROUP];
    int32_t bits[GROUP];
    for (int i = 0; i < GROUP; i += L) store(rounded + i, add(mul(load(v + i), factor), magic));
    __builtin_memcpy(bits, rounded, sizeof bits);
    int32_t sum[2] = {0, 0};
    int8_t* q = r.bytes + group * GROUP;
    for (int i = 0; i < GROUP; i++) {
        q[i] = (int8_t)((uint32_t)bits[i] & 255u);
        sum[i / (GROUP / 2)] += q[i];
    }
    RowGroup& g = r.groups[group];
    g.scale = size * (1.0f / 127.0f);
    g.sum[0] = sum[0];
    g.sum[1] = sum[1];
    g.minus_sum = -(g.scale * (float)(sum[0] + sum[1]));
}

// Quantises all rows, shared out by pieces of a row. Ends with a barrier.
static inline void quantise_rows(const Worker& w, const PackedRows& x, int rows) {
    enum { PIECE = 32 };
    int64_t groups = x.width / GROUP;
    int pieces = (int)((groups + PIECE - 1) / PIECE);
    share_out(w, rows * pieces, [&](int item) {
        QuantisedRow r = quantised_row(x, item / pieces);
        int64_t first = (int64_t)(item % pieces) * PIECE;
        int64_t end = first + PIECE < groups ? first + PIECE : groups;
        for (int64_t g = first; g < end; g++) quantise_group(r, g);
    });
}
