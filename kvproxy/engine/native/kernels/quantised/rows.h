// Rows as quantised products read them: signed bytes by groups of 32 along k, each group with a float32 scale.
//
// A row's bytes and scales depend on its own values alone. Values that are not finite make the group's scale so too.
#pragma once

struct RowGroup {
    float scale;
    float minus_sum;  // -scale * (sum[0] + sum[1])
    int32_t sum[2];   // of the bytes of each half
};

struct Row {
    RowGroup* groups;
    int8_t* bytes;
};

static inline size_t row_bytes(int64_t width) {
    size_t groups = (size_t)((width + GROUP - 1) / GROUP);
    return (groups * (GROUP + sizeof(RowGroup)) + 63) / 64 * 64;
}
static inline Row row_of(const PackedRows& x, int row) {
    char* p = (char*)x.data + row_bytes(x.width) * (size_t)row;
    return {(RowGroup*)(p + (x.width + GROUP - 1) / GROUP * GROUP), (int8_t*)p};
}

// The product's packed_rows_bytes for quantised matrices.
static inline size_t packed_bytes(int rows, int64_t width) { return row_bytes(width) * (size_t)rows; }

// Adding 1.5 * 2^23 rounds to the nearest even integer, which then stands in the low bits: the same in every set.
static inline void quantise_group(const float* v, int8_t* q, RowGroup& g) {
    const F32 none = zero(), magic = set1(12582912.0f);
    F32 top = none;
    for (int i = 0; i < GROUP; i += L) {
        F32 x = load(v + i);
        top = max(top, max(x, sub(none, x)));
    }
    float size = largest(top);
    const F32 factor = set1(size > 0.0f ? 127.0f / size : 0.0f);
    float rounded[GROUP];
    int32_t bits[GROUP];
    for (int i = 0; i < GROUP; i += L) store(rounded + i, add(mul(load(v + i), factor), magic));
    __builtin_memcpy(bits, rounded, sizeof bits);
    int32_t first = 0, second = 0;
    for (int i = 0; i < GROUP; i++) bits[i] = (int32_t)((uint32_t)bits[i] << 24) >> 24;
    for (int i = 0; i < GROUP / 2; i++) first += bits[i];
    for (int i = GROUP / 2; i < GROUP; i++) second += bits[i];
    for (int i = 0; i < GROUP; i++) q[i] = (int8_t)bits[i];
    g.scale = size * (1.0f / 127.0f);
    g.sum[0] = first;
    g.sum[1] = second;
    g.minus_sum = -(g.scale * (float)(first + second));
}

// The product's pack_slice for quantised matrices: k and count are multiples of 32 (rows are packed whole).
static inline void pack_slice(const PackedRows& x, int row, int64_t k, const float* values, int count) {
    Row r = row_of(x, row);
    for (int i = 0; i < count; i += GROUP) quantise_group(values + i, r.bytes + k + i, r.groups[(k + i) / GROUP]);
}
