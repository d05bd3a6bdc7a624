// Reading a coded frame: everything in it is checked against the caller's shape before an element is decoded.
#include "frame_shape.h"
#include <stdlib.h>
#include <string.h>

using namespace kvproxy;

namespace {

// What is left of a frame, in order.
struct Cursor {
    const uint8_t *at, *end;

    const uint8_t* take(int64_t bytes) {
        if (bytes > end - at) return nullptr;
        const uint8_t* from = at;
        at += bytes;
        return from;
    }
};

int cut_short() { return kvp_fail(KVP_DAMAGED, "the frame is cut short"); }

uint32_t nibble(const uint8_t* from, int i) { return from[i / 2] >> i % 2 * 4 & 15; }

void fill_slots(uint32_t* table, int symbol, int first, int frequency) {
    uint32_t entry = (uint32_t)symbol << 2 * SCALE_BITS | (uint32_t)frequency;
    for (int j = 0; j < frequency; j++) table[first + j] = entry | (uint32_t)j << SCALE_BITS;
}

// The slots of one table. A frequency is at least 1 and below SCALE, so that it fits its 11 bits; together they are SCALE.
int read_table(Cursor& c, uint32_t* table) {
    const uint8_t* head = c.take(4);
    if (!head) return cut_short();
    int symbol = head[0] | head[1] << 8, count = head[2] | head[3] << 8, slot = 0;
    if (symbol >= SYMBOLS || count > SYMBOLS) return kvp_fail(KVP_DAMAGED, "a table of the frame names no symbols");
    if (count == 0) {  // no element is coded by it
        fill_slots(table, 0, 0, SCALE - 1);
        fill_slots(table, 1, SCALE - 1, 1);
        return KVP_OK;
    }
    for (int i = 0; i < count; i++, symbol = (symbol + 1) % SYMBOLS) {
        const uint8_t* byte = c.take(1);
        if (!byte) return cut_short();
        int frequency = *byte;
        if (frequency & 0x80) {
            if (!(byte = c.take(1))) return cut_short();
            frequency = (frequency & 0x7f) << 8 | *byte;
        }
        if (frequency >= SCALE || slot + frequency > SCALE) break;
        fill_slots(table, symbol, slot, frequency);
        slot += frequency;
    }
    return slot == SCALE ? KVP_OK : kvp_fail(KVP_DAMAGED, "a table of the frame has no sum of %d", (int)SCALE);
}

// Channels of an array, so that the next one begins on a line of the cache.
int64_t channel_room(int64_t channels) { return (channels + 15) / 16 * 16; }

int read_channels(Cursor& c, int flags, uint32_t least, int channels, uint32_t* memory, CodedFrame* f) {
    int wide = flags >> 1 & 1;
    const uint8_t* centres = c.take(wide ? channels : (channels + 1) / 2);
    const uint8_t* classes = centres ? c.take((channels + 1) / 2) : nullptr;
    if (!classes) return cut_short();
    int64_t room = channel_room(channels);
    uint32_t *place = memory, *first = memory + room, *centre = first + room, *flip = centre + room;
    uint32_t stride = flags & 1 ? 2 * SCALE : SCALE;
    for (int i = 0; i < channels; i++) {
        uint32_t kind = nibble(classes, i);
        if (kind & 8) return kvp_fail(KVP_DAMAGED, "the frame has a channel of no class");
        place[i] = first[i] = (kind & 3) * stride;
        flip[i] = kind >> 2;
        centre[i] = 2 * ((least + (wide ? centres[i] : nibble(centres, i))) & 255);
    }
    f->place = place;
    f->first = first;
    f->centre = centre;
    f->flip = flip;
    f->by_sign = flags & 1 ? SCALE : 0;
    return KVP_OK;
}

// The rest behind the tables: bits, halves, states, words.
int read_elements(Cursor& c, CodedFrame* f) {
    int64_t n = kvp_shape_elements(f->shape);
    f->bits = c.take((LOW_BITS * n + 7) / 8);
    f->halves = f->bits ? c.take(f->shape.element_bytes == 4 ? 2 * n : 0) : nullptr;
    const uint8_t* state = f->halves ? c.take(sizeof f->state) : nullptr;
    if (!state) return cut_short();
    memcpy(f->state, state, sizeof f->state);
    f->words = c.at;
    f->end = c.end;
    return (c.end - c.at) % 2 ? cut_short() : KVP_OK;
}

int decode_coded(const FrameShape& shape, Cursor c, uint32_t* memory, void* plain) {
    alignas(64) uint32_t table[TABLES * SCALE];
    CodedFrame f = CodedFrame();
    f.shape = shape;
    f.table = table;
    const uint8_t* head = c.take(2);
    if (!head) return cut_short();
    if (head[0] > 3) return kvp_fail(KVP_DAMAGED, "the frame is of another format");
    if (int e = read_channels(c, head[0], head[1], shape.heads * shape.dim, memory, &f)) return e;
    int tables = head[0] & 1 ? TABLES : CLASSES;
    for (int i = 0; i < tables; i++) {
        if (int e = read_table(c, table + i * SCALE)) return e;
    }
    if (int e = read_elements(c, &f)) return e;
    if (kvp_kernels_in_use()->decode_frame(f, plain)) return kvp_fail(KVP_DAMAGED, "the frame's elements are damaged");
    return KVP_OK;
}

}  // namespace

KVP_API int64_t kvp_frame_most(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes) {
    FrameShape shape = FrameShape();
    if (int e = kvp_take_shape(heads, positions, dim, element_bytes, &shape)) return e;
    return kvp_shape_elements(shape) * element_bytes + 1;
}

KVP_API int kvp_frame_decode(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes, const void* frame,
                             int64_t bytes, void* plain) {
    FrameShape shape = FrameShape();
    if (int e = kvp_take_shape(heads, positions, dim, element_bytes, &shape)) return e;
    if (!frame || !plain || bytes < 0) return kvp_fail(KVP_BAD_ARGUMENT, "the frame or the memory for it is missing");
    Cursor c = {(const uint8_t*)frame, (const uint8_t*)frame + bytes};
    const uint8_t* mode = c.take(1);
    if (!mode) return cut_short();
    if (*mode > 1) return kvp_fail(KVP_DAMAGED, "the frame is of another format");
    if (*mode == 0) {
        int64_t plain_bytes = kvp_shape_elements(shape) * element_bytes;
        if (c.end - c.at != plain_bytes) return kvp_fail(KVP_DAMAGED, "the plain frame has another size");
        memcpy(plain, c.at, (size_t)plain_bytes);
        return KVP_OK;
    }
    size_t room = sizeof(uint32_t) * 4 * (size_t)channel_room((int64_t)heads * dim);
    char* memory = (char*)malloc(room + 63);
    if (!memory) return kvp_fail(KVP_NO_MEMORY, "no memory for a frame's channels");
    int failed = decode_coded(shape, c, (uint32_t*)(memory + (64 - (uintptr_t)memory % 64) % 64), plain);
    free(memory);
    return failed;
}
