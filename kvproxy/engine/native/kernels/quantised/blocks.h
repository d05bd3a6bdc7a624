// Rows of quantised weights as files hold them, group by group of 32: GGUF's blocks (numbers and layouts are ggml's) and
// our own Q4_Z for GPTQ's and AWQ's groups.
#pragma once

enum BlockKind { KIND_Q4_0 = 2, KIND_Q5_0 = 6, KIND_Q8_0 = 8, KIND_Q4_K = 12, KIND_Q5_K = 13, KIND_Q6_K = 14, KIND_Q4_Z = 100 };

// One group: scale * (q - zero), or scale * q - min, in the form of the panel's format.
struct WeightGroup {
    uint8_t q[GROUP];
    uint16_t d, dmin;  // float16
    uint8_t scales[2];  // of halves where the format has two; signed there
    uint8_t side;       // the min or the zero
};

// The panel format of a kind; -1 for a kind that has none.
static inline int format_of_kind(int kind) {
    switch (kind) {
        case KIND_Q8_0: case KIND_Q5_0: return PANEL_Q8;
        case KIND_Q4_K: return PANEL_Q4;
        case KIND_Q5_K: return PANEL_Q5;
        case KIND_Q6_K: return PANEL_Q6;
        case KIND_Q4_0: case KIND_Q4_Z: return PANEL_Q4Z;
        default: return -1;
    }
}
static inline int64_t kind_row_bytes(int kind, int64_t width) {
    switch (kind) {
        case KIND_Q8_0: return width / 32 * 34;
        case KIND_Q5_0: return width / 32 * 22;
        case KIND_Q4_0: return width / 32 * 18;
        case KIND_Q4_Z: return width / 32 * 20;  // float16 scale, zero, 0, 16 bytes as in Q4_0
        case KIND_Q4_K: return width / 256 * 144;
        case KIND_Q5_K: return width / 256 * 176;
        default: return width / 256 * 210;
    }
}

static inline uint16_t half_at(const uint8_t* p) { return (uint16_t)(p[0] | p[1] << 8); }
// 4 bits: the first 16 in the low halves of 16 bytes.
static inline void read_nibbles(uint8_t* q, const uint8_t* p) {
    for (int i = 0; i < 16; i++) q[i] = p[i] & 15;
    for (int i = 0; i < 16; i++) q[i + 16] = p[i] >> 4;
}
// The 6-bit scale and min of group j of 8, from the 12 bytes of Q4_K and Q5_K.
static inline void read_scale_min(WeightGroup& w, const uint8_t* p, int j) {
    if (j < 4) {
        w.scales[0] = p[j] & 63;
        w.side = p[j + 4] & 63;
    } else {
        w.scales[0] = (uint8_t)((p[j + 4] & 15) | (p[j - 4] >> 6) << 4);
        w.side = (uint8_t)((p[j + 4] >> 4) | (p[j] >> 6) << 4);
    }
}

static inline void read_q4_k(WeightGroup& w, const uint8_t* block, int j, bool fifth) {
    w.d = half_at(block);
    w.dmin = half_at(block + 2);
    read_scale_min(w, block + 4, j);
    const uint8_t* high = block + 16;
    const uint8_t* low = block + (fifth ? 48 : 16) + 32 * (j / 2);
    int shift = 4 * (j & 1);
    for (int i = 0; i < GROUP; i++) w.q[i] = (low[i] >> shift) & 15;
    if (fifth)
        for (int i = 0; i < GROUP; i++) w.q[i] |= (uint8_t)((high[i] >> j & 1) << 4);
}
static inline void read_q6_k(WeightGroup& w, const uint8_t* block, int j) {
    int half = j / 4, g = j % 4;
    const uint8_t* low = block + 64 * half + 32 * (g & 1);
    const uint8_t* high = block + 128 + 32 * half;
    int low_shift = 4 * (g / 2), high_shift = 2 * g;
    for (int i = 0; i < GROUP; i++) w.q[i] = (uint8_t)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4);
    w.scales[0] = block[192 + 8 * half + 2 * g];
    w.scales[1] = block[192 + 8 * half + 2 * g + 1];
    w.d = half_at(block + 208);
}
static inline void read_q5_0(WeightGroup& w, const uint8_t* block) {
    w.d = half_at(block);
    read_nibbles(w.q, block + 6);
    uint32_t high = (uint32_t)block[2] | (uint32_t)block[3] << 8 | (uint32_t)block[4] << 16 | (uint32_t)block[5] << 24;
    for (int i = 0; i < GROUP; i++) w.q[i] = (uint8_t)((w.q[i] | (high >> i & 1) << 4) + 128 - 16);
}

// Group `group` of a row.
static inline void read_group(WeightGroup& w, int kind, const uint8_t* row, int64_t group) {
    int j = (int)(group % 8);
    int64_t super = group / 8;
    switch (kind) {
        case KIND_Q8_0: {
            const uint8_t* block = row + group * 34;
            w.d = half_at(block);
            for (int i = 0; i < GROUP; i++) w.q[i] = block[2 + i] ^ 128;
            return;
        }
        case KIND_Q5_0: return read_q5_0(w, row + group * 22);
        case KIND_Q4_0:
            w.d = half_at(row + group * 18);
            w.side = 8;
            return read_nibbles(w.q, row + group * 18 + 2);
        case KIND_Q4_Z:
            w.d = half_at(row + group * 20);
            w.side = row[group * 20 + 2];
            return read_nibbles(w.q, row + group * 20 + 4);
        case KIND_Q4_K: return read_q4_k(w, row + super * 144, j, false);
        case KIND_Q5_K: return read_q4_k(w, row + super * 176, j, true);
        default: return read_q6_k(w, row + super * 210, j);
    }
}
