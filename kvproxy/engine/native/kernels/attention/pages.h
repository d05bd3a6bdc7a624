// The layout of one head's keys and values in a page: PAGE positions of `dim` components.
#pragma once

enum { PAGE = 256, KEYS = 16 };  // positions of a page; positions of a group of keys

// Keys, by groups of 16 positions and pairs of components, so that a register holds 16 positions:
//   BF16: [16 groups][dim/2][16 positions][2]     F16, F32_: [16 groups][dim/2][2][16 positions]
// Values, by pairs of positions:
//   BF16: [128 pairs][dim][2]                     F16, F32_: [256][dim]
// Both let a page's first n positions, n a multiple of 16, be a prefix of its memory.
struct LayerPages {
    int dtype;     // BF16, F16 or F32_
    int kv_heads, dim;  // dim: a multiple of 16, at most 256
    char* keys;    // of page 0, head 0
    char* values;
    int64_t head_bytes, page_bytes;  // from one head, one page to the next
};

// A tile's rows and the pages that they attend to. Row r is at position[r] of its sequence, whose page j is
// tables[table[r] + j]. Checked at the boundary: no page id or position in it can lead out of the pool.
struct AttentionRows {
    int rows;
    const int32_t* position;
    const int32_t* table;
    const int32_t* tables;
};

// Given by attend.h, all of internal linkage:
//   void write_key(const LayerPages& p, int head, int page, int slot, const float* k)      dim floats
//   void write_value(const LayerPages& p, int head, int page, int slot, const float* v)
//   void read_rows(const LayerPages& p, int head, int page, int n, void* keys, void* values)
//   void write_rows(const LayerPages& p, int head, int page, int n, const void* keys, const void* values)
//       a page's first n positions to and from row-major [n][dim] elements of the pages' own type
//   int check_rows(const AttentionRows&, int tables_length, int pages, const char** reason)      0, or -1 and a reason
//   int plan_attention(AttentionPlan& plan, const AttentionRows&, int kv_heads, int group, int dim, int threads)
//       0, or -1 without memory. By one thread, once per tile; the plan serves all layers and holds their scratch. It
//       begins as zeros, keeps its memory for the next tile, and reads the rows' arrays as long as it is used.
//       A team of fewer than `threads` may use it; a larger one must not.
//   void free_plan(AttentionPlan& plan)
//   void attend(const Worker& w, const AttentionPlan& plan, const LayerPages& p, int group, const float* q, float* out)
//       q: [rows][kv_heads * group][dim], scaled by log2(e) and the model's factor; out: the same shape, float32.
//       Begins when K and V of all rows are written; ends with a barrier.
// The values of a page's unwritten positions must be finite (a page that is handed out is zeroed): they are multiplied
// with a weight of 0. Its keys may hold anything.
