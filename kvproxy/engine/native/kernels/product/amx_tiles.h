// The tile registers of AMX, or with KVP_AMX_EMULATED their arithmetic in plain C++ as the manual documents it, for tests
// on machines without them. Macros, since a tile's number must be a literal in the instruction.
//
// All 8 tiles have 16 rows of 64 bytes: blocks of fewer rows are computed whole and their last rows ignored, which keeps
// one configuration for all products. A thread configures its tiles in front of a product and releases them after it.
#pragma once

#if defined(KVP_AMX_EMULATED)

struct EmulatedTile {
    uint32_t word[16][16];
};
static thread_local EmulatedTile emulated_tile[8];

KVP_INLINE void load_emulated(int t, const void* p, long stride) {
    for (int r = 0; r < 16; r++) __builtin_memcpy(emulated_tile[t].word[r], (const char*)p + r * stride, 64);
}
KVP_INLINE void store_emulated(int t, void* p, long stride) {
    for (int r = 0; r < 16; r++) __builtin_memcpy((char*)p + r * stride, emulated_tile[t].word[r], 64);
}
KVP_INLINE float float_of(uint32_t bits) {  // denormals are zeros
    float f;
    if (!(bits & 0x7f800000u)) bits &= 0x80000000u;
    __builtin_memcpy(&f, &bits, 4);
    return f;
}
KVP_INLINE float flushed(float f) {
    uint32_t bits;
    __builtin_memcpy(&bits, &f, 4);
    return float_of(bits);
}
// The even and the odd products of 16 pairs are summed apart, then both sums, then the sum in c.
static void dot_emulated(int c, int a, int b) {
    for (int m = 0; m < 16; m++) {
        for (int n = 0; n < 16; n++) {
            float sums[2] = {0.0f, 0.0f};
            for (int k = 0; k < 16; k++) {
                uint32_t x = emulated_tile[a].word[m][k], y = emulated_tile[b].word[k][n];
                sums[0] = flushed(__builtin_fmaf(float_of(x << 16), float_of(y << 16), sums[0]));
                sums[1] = flushed(__builtin_fmaf(float_of(x & 0xffff0000u), float_of(y & 0xffff0000u), sums[1]));
            }
            float sum = flushed(float_of(emulated_tile[c].word[m][n]) + flushed(sums[0] + sums[1]));
            __builtin_memcpy(&emulated_tile[c].word[m][n], &sum, 4);
        }
    }
}
#define KVP_TILE_LOAD(t, p, stride) load_emulated(t, p, stride)
#define KVP_TILE_STORE(t, p, stride) store_emulated(t, p, stride)
#define KVP_TILE_DOT(c, a, b) dot_emulated(c, a, b)
KVP_INLINE void configure_tiles() {}
KVP_INLINE void release_tiles() {}

#else

// g++ 12 does not say that a tile's load reads memory: what was stored in front of it must not be moved behind it.
#define KVP_TILE_LOAD(t, p, stride)          \
    do {                                     \
        __asm__ volatile("" : : : "memory"); \
        _tile_loadd(t, p, stride);           \
    } while (0)
#define KVP_TILE_STORE(t, p, stride) _tile_stored(t, p, stride)
#define KVP_TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)

struct TileSettings {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
KVP_INLINE void configure_tiles() {
    alignas(64) TileSettings settings = {};
    settings.palette = 1;
    for (int t = 0; t < 8; t++) {
        settings.row_bytes[t] = 64;
        settings.rows[t] = 16;
    }
    __asm__ volatile("" : : "r"(&settings) : "memory");
    _tile_loadconfig(&settings);
}
KVP_INLINE void release_tiles() { _tile_release(); }

#endif
