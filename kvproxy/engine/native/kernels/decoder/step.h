// A tile's way through some layers of a decoder, and logits: each one parallel region.
#pragma once

KVP_INLINE char* aligned_slice(char** memory, size_t bytes) {
    char* at = *memory;
    if (at) *memory = at + (bytes + 63) / 64 * 64;
    return at;
}

KVP_INLINE size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static inline size_t packed_bytes(const Product& p, int rows) {
    return packed_rows_bytes(rows, p.part[0].width, p.part[0].dtype);
}

// Lays the scratch of a tile of `rows` rows out in memory; returns the bytes. With memory null it only counts.
static inline size_t lay_out_scratch(const Decoder& d, int rows, int threads, char* memory, StepScratch* t) {
    size_t sums = 0, packed = 0, gated = 0, total = 0;
    for (int i = 0; i < d.layers; i++) {
        const DecoderLayer& l = d.layer[i];
        sums = larger(sums, (size_t)l.qkv.columns);
        packed = larger(packed, larger(packed_bytes(l.qkv, rows), packed_bytes(l.o, rows)));
        packed = larger(packed, packed_bytes(l.gate_up, rows));
        gated = larger(gated, packed_bytes(l.down, rows));
    }
    sums = larger(sums, (size_t)d.intermediate);
    size_t heads = (size_t)d.heads * (size_t)d.dim, m = (size_t)rows;
    t->thread_floats = (int64_t)larger(larger((size_t)d.hidden, heads), sums) + 2 * PANEL;
    size_t sizes[6] = {m * sums * 4, m * heads * 4, m * heads * 4, packed, gated,
                       (size_t)threads * (size_t)t->thread_floats * 4};
    char* at[6];
    for (int i = 0; i < 6; i++) {
        at[i] = aligned_slice(&memory, sizes[i]);
        total += (sizes[i] + 63) / 64 * 64;
    }
    t->sums = (float*)at[0];
    t->q = (float*)at[1];
    t->attended = (float*)at[2];
    t->packed = at[3];
    t->gated = at[4];
    t->threads = (float*)at[5];
    return total;
}

struct StepTask {
    const Decoder* d;
    const Step* s;
    const Pool* pool;
    const StepScratch* t;
    const AttentionPlan* plan;
};

KVP_INLINE LayerPages pages_of(const Decoder& d, const Pool& pool, int layer) {
    char* keys = pool.data + layer * pool.layer_bytes;
    return {pool.dtype, d.kv_heads, d.dim, keys, keys + pool.kind_bytes, pool.head_bytes, pool.page_bytes};
}

static inline void step_task(kvp_team* team, int index, void* data) {
    const StepTask& x = *(const StepTask*)data;
    const Decoder& d = *x.d;
    const Step& s = *x.s;
    Worker w = {team, index};
    int rows = s.rows.rows;
    if (s.first == 0) {
        share_out(w, rows, [&](int row) {
            widen_row(d.embedding, d.embedding_dtype, s.token_ids[row], d.hidden, s.hidden + (int64_t)row * d.hidden);
            rotary_angles(s.rows.position[row], d.inverse_frequencies, d.rotary_scaling, d.dim,
                          s.angles + (int64_t)row * d.dim);
        });
    }
    for (int i = s.first; i < s.end; i++) run_layer(w, d, i, s, pages_of(d, *x.pool, i), *x.plan, *x.t);
    if (s.end == d.layers && !s.kv_only) {
        share_out(w, rows, [&](int row) {
            float* h = s.hidden + (int64_t)row * d.hidden;
            rms_norm(h, d.norm, d.eps, d.hidden, h);
        });
    }
}

struct LogitsTask {
    const Product* head;
    const float* hidden;  // [rows][width]
    int rows;
    void* packed;
    float* logits;  // [rows][columns]
};

static inline void logits_task(kvp_team* team, int index, void* data) {
    const LogitsTask& x = *(const LogitsTask*)data;
    Worker w = {team, index};
    int64_t width = x.head->part[0].width, columns = x.head->columns;
    PackedRows in = {x.packed, width, x.head->part[0].dtype};
    share_out(w, x.rows, [&](int row) { pack_slice(in, row, 0, x.hidden + row * width, (int)width); });
    products(w, *x.head, in, x.rows, [&](int row, int64_t column, const float* y) {
        store_sums(x.logits + row * columns, columns, column, y);
    });
}
