// An encoder's look at a frame: each channel's centre and sign, and each element's symbol. See format.h.
#pragma once

enum { WINDOW = 32, BELOW = 21, BINS = 2 * 2 * WINDOW };  // of differences from a centre; of a channel's bins

// Memory of one encoding; channels = heads * dim.
struct Encoding {
    FrameShape shape;
    int channels;
    int64_t elements;
    uint16_t* upper;   // [elements]: the elements, of float32 their upper halves
    uint16_t* symbol;  // [elements]
    uint8_t* before;   // [elements]: the sign at the channel's position before, flipped as the symbol's, 0 at the first
                       // one; later the number of the element's table
    uint8_t* centre;   // [channels]
    uint8_t* flip;     // [channels]
    uint8_t* kind;     // [channels]: the class
    float* bins;       // [channels][BINS]: counts by sign before, difference from the centre (its ends collected), sign
};

inline void take_upper(Encoding& e, const uint8_t* plain) {
    if (e.shape.element_bytes == 2) {
        memcpy(e.upper, plain, 2 * (size_t)e.elements);
        return;
    }
    for (int64_t i = 0; i < e.elements; i++) memcpy(e.upper + i, plain + 4 * i + 2, 2);
}

// The median of each channel's 8 magnitude bits, and whether most of its signs are negative.
inline void find_centres(Encoding& e, uint16_t* counts) {
    int dim = e.shape.dim, positions = e.shape.positions;
    for (int h = 0; h < e.shape.heads; h++) {
        memset(counts, 0, sizeof(uint16_t) * 257 * (size_t)dim);
        int64_t i = (int64_t)h * positions * dim;
        for (int r = 0; r < positions; r++) {
            for (int c = 0; c < dim; c++, i++) {
                uint32_t x = e.upper[i];
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

inline void find_symbols(Encoding& e) {
    memset(e.bins, 0, sizeof(float) * BINS * (size_t)e.channels);
    int dim = e.shape.dim, positions = e.shape.positions;
    const uint16_t* upper = e.upper;
    uint16_t* symbol = e.symbol;
    uint8_t* before = e.before;
    for (int h = 0; h < e.shape.heads; h++) {
        const uint8_t *centre = e.centre + h * dim, *flip = e.flip + h * dim;
        float* bins = e.bins + (int64_t)h * dim * BINS;
        for (int r = 0; r < positions; r++, upper += dim, symbol += dim, before += dim) {
            for (int c = 0; c < dim; c++) {
                uint32_t x = upper[c], sign = (x >> 15) ^ flip[c];
                int difference = (int8_t)((x >> LOW_BITS & 255) - centre[c]);
                symbol[c] = (uint16_t)(((uint32_t)difference & 255) << 1 | sign);
                before[c] = r ? (uint8_t)(symbol[c - dim] & 1) : (uint8_t)0;
            }
            for (int c = 0; c < dim; c++) {
                int bin = (int8_t)(symbol[c] >> 1) + BELOW;
                bin = bin < 0 ? 0 : bin >= WINDOW ? WINDOW - 1 : bin;
                bins[c * BINS + (before[c] * WINDOW + bin) * 2 + (symbol[c] & 1)] += 1.0f;
            }
        }
    }
}
