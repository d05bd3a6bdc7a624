// Coding of a frame: statistics of its channels, classes, tables, then the elements from the last to the first.
#include "frame_shape.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

using namespace kvproxy;

namespace {

#include "../frames/statistics.h"
#include "../frames/classes.h"
#include "../frames/tables.h"

// Scratch memory in one piece, 64 bytes aligned within; counts first with a null base.
struct Scratch {
    char* base;
    size_t used;

    template <class T>
    T* take(int64_t count) {
        T* at = base ? (T*)(base + used) : nullptr;
        used += (sizeof(T) * (size_t)count + 63) / 64 * 64;
        return at;
    }
};

struct Work {
    Encoding encoding;
    uint16_t* counts;
    SymbolTable* tables;
    uint16_t* room;  // [1 + elements] words, filled from the end; the first one is never kept
};

size_t lay_out_work(const FrameShape& shape, char* memory, Work* w) {
    Scratch s = {memory, 0};
    Encoding& e = w->encoding;
    e.shape = shape;
    e.channels = shape.heads * shape.dim;
    e.elements = kvp_shape_elements(shape);
    e.upper = s.take<uint16_t>(e.elements);
    e.symbol = s.take<uint16_t>(e.elements);
    e.before = s.take<uint8_t>(e.elements);
    e.centre = s.take<uint8_t>(e.channels);
    e.flip = s.take<uint8_t>(e.channels);
    e.kind = s.take<uint8_t>(e.channels);
    e.bins = s.take<float>((int64_t)e.channels * BINS);
    w->counts = s.take<uint16_t>((int64_t)257 * shape.dim);
    w->tables = s.take<SymbolTable>(TABLES);
    w->room = s.take<uint16_t>(1 + e.elements);
    return s.used;
}

// Counts symbols by class and sign before, and puts the number of its table in the place of that sign; returns whether tables by that sign make the frame shorter.
bool count_symbols(const Work& w) {
    const Encoding& e = w.encoding;
    memset((void*)w.tables, 0, sizeof(SymbolTable) * TABLES);
    SymbolTable* tables = w.tables;
    const uint16_t* symbol = e.symbol;
    uint8_t* table = e.before;
    int dim = e.shape.dim;
    for (int h = 0; h < e.shape.heads; h++) {
        const uint8_t* kind = e.kind + h * dim;
        for (int r = 0; r < e.shape.positions; r++, symbol += dim, table += dim) {
            for (int c = 0; c < dim; c++) {
                table[c] = (uint8_t)(2 * kind[c] + table[c]);
                tables[table[c]].count[symbol[c]]++;
            }
        }
    }
    double apart = 0, together = 0;
    SymbolTable both;
    for (int k = 0; k < CLASSES; k++) {
        const SymbolTable *a = w.tables + 2 * k, *b = a + 1;
        for (int s = 0; s < SYMBOLS; s++) both.count[s] = a->count[s] + b->count[s];
        apart += table_bits(*a) + table_bits(*b);
        together += table_bits(both);
    }
    if (apart < together) return true;
    for (int64_t i = 0; i < e.elements; i++) e.before[i] >>= 1;
    for (int k = 0; k < CLASSES; k++) {
        for (int s = 0; s < SYMBOLS; s++) {
            uint32_t sum = w.tables[2 * k].count[s] + w.tables[2 * k + 1].count[s];
            w.tables[2 * k + 1].count[s] = 0;
            w.tables[k].count[s] = sum;  // k <= 2 * k: what is overwritten was read
        }
    }
    return false;
}

// Returns how many words were written, to the end of their room.
int64_t encode_elements(const Work& w, uint32_t* states) {
    const Encoding& e = w.encoding;
    const SymbolTable* tables = w.tables;
    const uint16_t* symbol = e.symbol;
    const uint8_t* table = e.before;
    uint16_t* const end = w.room + 1 + e.elements;
    uint16_t* word = end;
    uint32_t state[LANES];
    for (int i = 0; i < LANES; i++) state[i] = KVP_LEAST_STATE;
    for (int64_t i = e.elements - 1; i >= 0; i--) {
        const SymbolCode code = tables[table[i]].code[symbol[i]];
        uint32_t x = state[i % LANES], f = code.frequency;
        // Without a branch: which states give a word away is as random as the elements.
        int full = x >= f << (32 - SCALE_BITS);
        word[-1] = (uint16_t)x;
        word -= full;
        x >>= full * 16;
        uint32_t whole = (uint32_t)((unsigned __int128)x * code.inverse >> 43);
        state[i % LANES] = (whole << SCALE_BITS) + (x - whole * f) + code.slot;
    }
    memcpy(states, state, sizeof state);
    return end - word;
}

uint8_t* write_nibbles(uint8_t* to, const uint8_t* from, int count) {
    for (int i = 0; i < count; i += 2) *to++ = (uint8_t)(from[i] | (i + 1 < count ? from[i + 1] << 4 : 0));
    return to;
}

uint8_t* write_channels(Encoding& e, bool by_sign, uint8_t* to) {
    uint8_t least = 255, most = 0;
    for (int c = 0; c < e.channels; c++) {
        least = e.centre[c] < least ? e.centre[c] : least;
        most = e.centre[c] > most ? e.centre[c] : most;
    }
    bool wide = most - least > 15;
    *to++ = 1;
    *to++ = (uint8_t)((int)by_sign | (int)wide << 1);
    *to++ = least;
    for (int c = 0; c < e.channels; c++) {
        e.centre[c] = (uint8_t)(e.centre[c] - least);
        e.kind[c] = (uint8_t)(e.kind[c] | e.flip[c] << 2);
    }
    if (wide) {
        memcpy(to, e.centre, (size_t)e.channels);
        to += e.channels;
    } else {
        to = write_nibbles(to, e.centre, e.channels);
    }
    return write_nibbles(to, e.kind, e.channels);
}

uint8_t* write_bits(const Encoding& e, const uint8_t* plain, uint8_t* to) {
    uint64_t held = 0;
    int bits = 0;
    for (int64_t i = 0; i < e.elements; i++) {
        held |= (uint64_t)(e.upper[i] & 127) << bits;
        bits += LOW_BITS;
        if (bits >= 56) {
            memcpy(to, &held, 7);
            to += 7;
            held >>= 56;
            bits -= 56;
        }
    }
    for (; bits > 0; bits -= 8, held >>= 8) *to++ = (uint8_t)held;
    if (e.shape.element_bytes == 4) {
        for (int64_t i = 0; i < e.elements; i++, to += 2) memcpy(to, plain + 4 * i, 2);
    }
    return to;
}

// Bytes of the coded frame, or 0 where the plain one is no longer.
int64_t encode_coded(Work& w, const uint8_t* plain, uint8_t* frame, int64_t plain_bytes) {
    Encoding& e = w.encoding;
    take_upper(e, plain);
    find_centres(e, w.counts);
    find_symbols(e);
    find_classes(e);
    bool by_sign = count_symbols(w);
    int tables = by_sign ? (int)TABLES : (int)CLASSES;
    int64_t bytes = 3 + e.channels + (e.channels + 1) / 2 + (LOW_BITS * e.elements + 7) / 8 + 4 * LANES;
    for (int i = 0; i < tables; i++) {
        find_frequencies(w.tables[i]);
        bytes += table_bytes(w.tables[i]);
    }
    if (e.shape.element_bytes == 4) bytes += 2 * e.elements;
    uint32_t state[LANES];
    int64_t words = encode_elements(w, state);
    if (bytes + 2 * words >= plain_bytes) return 0;
    uint8_t* to = write_channels(e, by_sign, frame);
    for (int i = 0; i < tables; i++) to = write_table(w.tables[i], to);
    to = write_bits(e, plain, to);
    memcpy(to, state, sizeof state);
    memcpy(to + sizeof state, w.room + 1 + e.elements - words, 2 * (size_t)words);
    return to + sizeof state + 2 * words - frame;
}

}  // namespace

KVP_API int64_t kvp_frame_encode(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes, const void* plain,
                                 void* frame) {
    FrameShape shape = FrameShape();
    if (int e = kvp_take_shape(heads, positions, dim, element_bytes, &shape)) return e;
    if (!plain || !frame) return kvp_fail(KVP_BAD_ARGUMENT, "the elements or the memory for their frame are missing");
    int64_t plain_bytes = kvp_shape_elements(shape) * element_bytes;
    Work w;
    char* memory = (char*)malloc(lay_out_work(shape, nullptr, &w));
    if (!memory) return kvp_fail(KVP_NO_MEMORY, "no memory for the coding of a frame");
    lay_out_work(shape, memory, &w);
    int64_t bytes = encode_coded(w, (const uint8_t*)plain, (uint8_t*)frame, plain_bytes);
    free(memory);
    if (bytes) return bytes;
    *(uint8_t*)frame = 0;
    memcpy((uint8_t*)frame + 1, plain, (size_t)plain_bytes);
    return plain_bytes + 1;
}
