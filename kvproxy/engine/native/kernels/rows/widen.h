// A row of a table of bf16, float16, float32 or of quantised blocks (BLOCKS + kind) as float32: embeddings.
#pragma once

static inline void widen_row(const void* table, int dtype, int64_t row, int n, float* out) {
    if (dtype >= BLOCKS) {
        int kind = dtype - BLOCKS;
        quantised::read_row(out, kind, n, (const uint8_t*)table + row * quantised::kind_row_bytes(kind, n));
        return;
    }
    if (dtype == F32_) {
        __builtin_memcpy(out, (const float*)table + row * n, sizeof(float) * (size_t)n);
        return;
    }
    const uint16_t* from = (const uint16_t*)table + row * n;
    int i = 0;
    if (dtype == F16) {
        for (; i + L <= n; i += L) store(out + i, half(from + i));
        if (i < n) {
            uint16_t last[L] = {0};
            __builtin_memcpy(last, from + i, 2 * (size_t)(n - i));
            store_first(out + i, half(last), n - i);
        }
        return;
    }
    for (; i < n; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        __builtin_memcpy(out + i, &bits, 4);
    }
}
