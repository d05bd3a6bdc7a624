// Coded frames of any shape: the same elements come back from memory of exactly their size, and a spoiled frame is
// refused or decoded, but never read or written beside its memory.
#include "check.h"
#include "abi/frames_abi.h"

namespace {

// Elements of channels with a sign, a scale and some noise of their own; or noise alone.
void fill(Random& r, uint8_t* p, int channels, int64_t elements, int bytes) {
    bool noise = r.chance(4);
    for (int64_t i = 0; i < elements; i++) {
        uint64_t x = r.next();
        uint16_t upper = (uint16_t)(noise || r.chance(100) ? x : 0x3f00 + i % channels * 64 % 1000 + x % 700);
        for (int b = 0; b < bytes - 2; b++) p[i * bytes + b] = (uint8_t)(x >> 8 * b);
        memcpy(p + i * bytes + bytes - 2, &upper, 2);
    }
}

}  // namespace

void fuzz_frames(Random& r) {
    const int dims[] = {1, 7, 16, 20, 48, 64};
    int heads = r.between(1, 3), positions = r.between(1, 40), dim = dims[r.between(0, 5)], bytes = r.chance(2) ? 2 : 4;
    int64_t elements = (int64_t)heads * positions * dim, most = kvp_frame_most(heads, positions, dim, bytes);
    Array<uint8_t> plain(elements * bytes), coded(most), back(elements * bytes);
    fill(r, plain.p, dim, elements, bytes);
    int64_t length = kvp_frame_encode(heads, positions, dim, bytes, plain.p, coded.p);
    CHECK(length > 0 && length <= most, "%lld bytes of %lld", (long long)length, (long long)most);
    Array<uint8_t> frame(length);
    memcpy(frame.p, coded.p, (size_t)length);
    called(kvp_frame_decode(heads, positions, dim, bytes, frame.p, length, back.p));
    CHECK(back.same(plain), "%d x %d x %d elements of %d bytes", heads, positions, dim, bytes);

    for (int attempt = 0; attempt < 20; attempt++) {
        int64_t kept = r.chance(2) ? length : r.between(0, (int)length);
        Array<uint8_t> spoiled(kept);
        memcpy(spoiled.p, frame.p, (size_t)kept);
        for (int i = r.between(0, 3); i > 0 && kept > 0; i--) {
            int reach = r.chance(2) && kept > 300 ? 300 : (int)kept;
            spoiled[r.between(0, reach - 1)] = (uint8_t)r.next();
        }
        int code = kvp_frame_decode(heads, positions, dim, bytes, spoiled.p, kept, back.p);
        CHECK(code == KVP_OK || code == KVP_DAMAGED, "code %d", code);
        CHECK(kept == length || code == KVP_DAMAGED, "a frame cut to %lld bytes", (long long)kept);
    }
    CHECK(kvp_frame_most(heads, 257, dim, bytes) < 0 && kvp_frame_most(heads, 0, dim, bytes) < 0, "positions");
    CHECK(kvp_frame_most(65536, 1, 2, bytes) < 0 && kvp_frame_most(heads, 1, dim, 3) < 0, "sizes");
}
