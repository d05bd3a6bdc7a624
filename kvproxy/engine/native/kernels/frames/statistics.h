// An encoder's look at a frame: each channel's centre and sign, and each element's symbol. See format.h.
#pragma once

enum { WINDOW = 32, BELOW = 21, BINS = 2 * 2 * WINDOW };  // of differences from a centre; of a channel's bins

// Memory of one encoding; channels = heads * dim.
struct Encoding {
    FrameShape shape;
    int channels;
    int64_t elements;
    uint16_t* symbol;  // [elements]
    uint8_t* before;   // [elements]: the sign at the channel's position before, flipped as the symbol's; 0 at the first one
    uint8_t* centre;   // [channels]
    uint8_t* flip;     // [channels]
    uint8_t* kind;     // [channels]: the class
    float* bins;       // [channels][BINS]: counts by sign before, difference from the centre (its ends collected), sign
};

inline uint32_t upper_half(const Encoding& e, const uint8_t* plain, int64_t i) {
    int bytes = e.shape.element_bytes;
    const uint8_t* at = plain + i * bytes + bytes - 2;
    return (uint32_t)(at[0] | at[1] << 8);
}

// The median of each channel's 8 magnitude bits, and whether most of its signs are negative.
inline void find_centres(Encoding& e, const uint8_t* plain, uint16_t* counts) {
    int dim = e.shape.dim, positions = e.shape.positions;
    for (int h = 0; h < e.shape.heads; h++) {
        memset(counts, 0, sizeof(uint16_t) * 257 * (size_t)dim);
        int64_t i = (int64_t)h * positions * dim;
        for (int r = 0; r < positions; r++) {
            for (int c = 0; c < dim; c++, i++) {
                uint32_t x = upper_half(e, plain, i);
                counts[257 * c + (x >> LOW_BITS & 255)]++;
                counts[257 * c + 256] = (uint16_t)(counts[257 * c + 256] + (x >> 15));
            }
        }
        for (int c = 0; c < dim; c++) {
            const uint16_t* count = counts + 257 * c;
            int centre = 0;
            for (int seen = count[0]; 2 * seen < positions; seen += count[centre]) centre++;
            e.centre[h * dim + c] = (uint8_t)centre;
            e.flip[h * dim + c] = 2 * count[256] > positions;
        }
    }
}

inline void find_symbols(Encoding& e, const uint8_t* plain) {
    memset(e.bins, 0, sizeof(float) * BINS * (size_t)e.channels);
    int dim = e.shape.dim, positions = e.shape.positions;
    int64_t i = 0;
    for (int h = 0; h < e.shape.heads; h++) {
        for (int r = 0; r < positions; r++) {
            for (int c = h * dim; c < (h + 1) * dim; c++, i++) {
                uint32_t x = upper_half(e, plain, i), sign = (x >> 15) ^ e.flip[c];
                int difference = (int8_t)((x >> LOW_BITS & 255) - e.centre[c]);
                e.symbol[i] = (uint16_t)(((uint32_t)difference & 255) << 1 | sign);
                e.before[i] = r ? (uint8_t)(e.symbol[i - dim] & 1) : (uint8_t)0;
                int bin = difference + BELOW;
                bin = bin < 0 ? 0 : bin >= WINDOW ? WINDOW - 1 : bin;
                e.bins[(int64_t)c * BINS + (e.before[i] * WINDOW + bin) * 2 + (int)sign] += 1.0f;
            }
        }
    }
}
