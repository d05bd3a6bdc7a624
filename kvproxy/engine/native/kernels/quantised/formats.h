// The layouts of quantised panels. A panel of a quantised matrix has a format of its own, so that rows of several types
// (q and k in 4 bits, v in 6) stand behind one product.
//
// A panel is a sequence of groups of 32 k; `groups_of_header` of them stand behind one header:
//   [header: 32 float16 d][32 float16 dmin, where mins][groups: [sub-scales][zeros or mins][low bits][high bits]]
// Bits by quads of k, 4 bytes a column, so that a register holds the quads of L columns:
//   8 bits: [8 quads][32 columns][4]
//   low 4 bits: [4 pairs of quads][32 columns][4], the first quad of a pair in the low half of a byte
//   high 2 bits: [2][32 columns][4], quad 4 t + j at bit 2 j; high 1 bit: [32 columns][4], quad j at bit j
// Bits are kept without a sign. A weight is scale * (q - zero), or scale * q - min.
#pragma once

enum PanelFormat {
    PANEL_Q8 = 0,  // 8 bits, a float16 scale by 32, zero 128: Q8_0, Q5_0
    PANEL_Q4 = 1,  // 4 bits, scale and min by 32 from 6 bits each and float16 factors by 256: Q4_K
    PANEL_Q5 = 2,  // 5 bits, the same scales: Q5_K
    PANEL_Q6 = 3,  // 6 bits, a scale by 16 from a signed byte and a float16 factor by 256, zero 32: Q6_K
    PANEL_Q4Z = 4,  // 4 bits, a float16 scale by 32 and a byte for its zero: Q4_0, GPTQ, AWQ
    PANEL_FORMATS = 5,
};

enum { GROUP = 32, QUADS = GROUP / 4, QUAD_BYTES = 4 * PANEL };

template <int BITS_, int SCALES_, int GROUPS_OF_HEADER_, bool MINS_, bool ZEROS_, int ZERO_> struct Format {
    static constexpr int BITS = BITS_;      // 4, 5, 6 or 8
    static constexpr int SCALES = SCALES_;  // of a group: 1 or 2
    static constexpr int GROUPS_OF_HEADER = GROUPS_OF_HEADER_;
    static constexpr bool SUB_SCALES = GROUPS_OF_HEADER_ > 1, MINS = MINS_, ZEROS = ZEROS_;
    static constexpr bool SIGNED_SCALES = SCALES_ == 2;
    static constexpr int ZERO = ZERO_;      // where it is the same for all
    static constexpr int HEADER_BYTES = 2 * PANEL * (MINS_ ? 2 : 1);
    static constexpr int SCALE_BYTES = SUB_SCALES ? SCALES_ * PANEL : 0;
    static constexpr int SIDE_BYTES = SCALE_BYTES + (MINS_ || ZEROS_ ? PANEL : 0);  // before a group's bits
    static constexpr int LOW_BYTES = BITS_ == 8 ? QUADS * QUAD_BYTES : QUADS / 2 * QUAD_BYTES;
    static constexpr int HIGH_BYTES = BITS_ == 5 ? QUAD_BYTES : BITS_ == 6 ? 2 * QUAD_BYTES : 0;
    static constexpr int GROUP_BYTES = SIDE_BYTES + LOW_BYTES + HIGH_BYTES;
    static constexpr int64_t panel_bytes(int64_t width) {
        return width / GROUP * GROUP_BYTES + width / (GROUP * GROUPS_OF_HEADER_) * HEADER_BYTES;
    }
};
typedef Format<8, 1, 1, false, false, 128> FormatQ8;
typedef Format<4, 1, 8, true, false, 0> FormatQ4;
typedef Format<5, 1, 8, true, false, 0> FormatQ5;
typedef Format<6, 2, 8, false, false, 32> FormatQ6;
typedef Format<4, 1, 1, false, true, 0> FormatQ4Z;

// Calls f(Format()) for the format.
template <class F> static inline void with_format(int format, F f) {
    switch (format) {
        case PANEL_Q8: return f(FormatQ8());
        case PANEL_Q4: return f(FormatQ4());
        case PANEL_Q5: return f(FormatQ5());
        case PANEL_Q6: return f(FormatQ6());
        default: return f(FormatQ4Z());
    }
}

// Where a panel lies; one entry for each panel stands at the head of a quantised matrix's memory.
struct PanelEntry {
    int64_t offset;  // from the memory's start, a multiple of 64
    int32_t format;
    int32_t kind;  // of the rows that it was made from
};

static inline int64_t panel_bytes(int format, int64_t width) {
    int64_t bytes = 0;
    with_format(format, [&](auto f) { bytes = decltype(f)::panel_bytes(width); });
    return bytes;
}
// A width that the format can have: whole groups, and whole headers.
static inline bool width_fits(int format, int64_t width) {
    bool fits = false;
    with_format(format, [&](auto f) { fits = width > 0 && width % (GROUP * decltype(f)::GROUPS_OF_HEADER) == 0; });
    return fits;
}
