// Coded frames of KV: one layer's K or V of one page, [heads][positions][dim] elements, packed without loss.
//
// Of every element (of float32: of its upper half) the upper 9 bits are a symbol, coded by rANS (Duda, "Asymmetric
// numeral systems", 2013) in LANES interleaved states (Giesen, "Interleaved entropy coders", 2014); the 7 bits below are
// noise and stay as they are. A symbol is the difference of the 8 upper magnitude bits (the exponent, of float16 with 3
// bits of the mantissa) from the channel's centre, and above bit 0 of it the sign, flipped where a channel is mostly
// negative. Channels are sorted into CLASSES, each with a table of its own, or two: by the sign at the position before,
// which rotary embedding turns slowly.
//
//   bytes                    content (little endian)
//   1                        0: the plain elements follow; 1: the rest of this table
//   1                        bit 0: tables by the sign before; bit 1: centres have 8 bits, not 4
//   1                        least centre
//   channels * 4 or 8 bits   centres above the least one; channels = heads * dim
//   channels * 4 bits        class in bits 0 and 1, flipped in bit 2
//   for each table           u16 first symbol, u16 count, count frequencies of 1 byte, or 2 (0x80 | high, low); sum SCALE
//   7 bits each              the elements' lower bits, as one string of bits
//   2 each                   of float32 alone: the elements' lower halves
//   LANES * 4                states
//   rest                     u16 words
//
// Element i is decoded in state i % LANES, in order; words are taken in that order too. So a decoder needs no memory but
// tables and channels, whose sizes the caller knows: no size in a frame is trusted.
#pragma once

enum {
    SCALE_BITS = 10,
    SCALE = 1 << SCALE_BITS,
    LANES = 32,
    SYMBOLS = 512,
    CLASSES = 4,
    TABLES = 2 * CLASSES,
    LOW_BITS = 7,
};
// A state is at least this when a symbol is decoded from it; encoding starts with it.
#define KVP_LEAST_STATE 65536u

struct FrameShape {
    int heads, positions, dim, element_bytes;  // 2 or 4
};

// A coded frame, read and checked: what its elements are decoded with.
struct CodedFrame {
    FrameShape shape;
    const uint32_t* table;  // [TABLES][SCALE]: frequency, 11 bits; slot - first slot, 11 bits; symbol, 9 bits
    uint32_t* place;        // [channels]: where the channel's table begins; follows the signs while decoding
    const uint32_t* first;  // [channels]: the same at a page's first position
    const uint32_t* centre;  // [channels]: twice the centre
    const uint32_t* flip;    // [channels]: 1 where signs are flipped
    uint32_t by_sign;        // SCALE where tables are by the sign before, else 0
    const uint8_t* bits;     // 16 readable bytes follow the last one
    const uint8_t* halves;
    const uint8_t *words, *end;
    uint32_t state[LANES];
};
