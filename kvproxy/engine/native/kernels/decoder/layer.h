// One decoder layer over a tile's rows: phases of work items that the team shares, each ended by a barrier.
//
// Every value of a row is computed by the same operations in the same order whatever other rows there are, whichever
// thread takes it and wherever its pages lie: that is what makes a hit equal a miss to the bit.
#pragma once

template <class Epilogue>
static inline void products(const Worker& w, const Product& p, const PackedRows& x, int rows, Epilogue e) {
    for (int i = 0; i < p.parts; i++) {
        int64_t first = p.column[i];
        product(w, p.part[i], x, rows, [&](int row, int64_t column, const float* y) { e(row, first + column, y); });
    }
}

// Writes the part of 32 sums that lies in front of column `columns`.
KVP_INLINE void store_sums(float* row, int64_t columns, int64_t column, const float* y) {
    int64_t n = columns - column < PANEL ? columns - column : (int64_t)PANEL;
    for (int i = 0; i < n; i += L) {
        int left = (int)n - i;
        if (left >= L) store(row + column + i, load(y + i));
        else store_first(row + column + i, load(y + i), left);
    }
}

KVP_INLINE void add_sums(float* row, int64_t columns, int64_t column, const float* y) {
    int64_t n = columns - column < PANEL ? columns - column : (int64_t)PANEL;
    for (int i = 0; i < n; i += L) {
        int left = (int)n - i;
        float* to = row + column + i;
        if (left >= L) store(to, add(load(to), load(y + i)));
        else store_first(to, add(load_first(to, left), load(y + i)), left);
    }
}

// Norms, turns and scales a row's heads: queries to scratch, keys and values to the row's place in its page.
static inline void place_heads(const Decoder& d, const DecoderLayer& l, const Step& s, const LayerPages& pages,
                               const StepScratch& t, float* turned, int row) {
    const float* from = t.sums + row * l.qkv.columns;
    const float* angles = s.angles + (int64_t)row * d.dim;
    float* q = t.q + (int64_t)row * d.heads * d.dim;
    int position = s.rows.position[row];
    int page = s.rows.tables[s.rows.table[row] + position / PAGE], slot = position % PAGE;
    for (int h = 0; h < d.heads + d.kv_heads; h++, from += d.dim) {
        bool is_query = h < d.heads;
        const float* weight = is_query ? l.norm_q : l.norm_k;
        const float* x = from;
        float* out = is_query ? q + (int64_t)h * d.dim : turned;
        float factor = is_query ? d.query_factor : 1.0f;
        if (weight) {
            rms_norm(x, weight, d.eps, d.dim, turned);
            x = turned;
        }
        if (l.rotary) {
            turn(x, angles, d.dim, factor, out);
        } else {
            for (int i = 0; i < d.dim; i += L) {
                int n = d.dim - i < L ? d.dim - i : L;
                store_first(out + i, mul(load_first(x + i, n), set1(factor)), n);
            }
        }
        if (!is_query) write_key(pages, h - d.heads, page, slot, out);
    }
    for (int h = 0; h < d.kv_heads; h++, from += d.dim) write_value(pages, h, page, slot, from);
}

static inline void run_layer(const Worker& w, const Decoder& d, int index, const Step& s, const LayerPages& pages,
                             const AttentionPlan& plan, const StepScratch& t) {
    const DecoderLayer& l = d.layer[index];
    int rows = s.rows.rows;
    float* own = t.threads + w.index * t.thread_floats;
    auto normed = [&](const float* weight, const PackedRows& x) {
        share_out(w, rows, [&](int row) {
            rms_norm(s.hidden + (int64_t)row * d.hidden, weight, d.eps, d.hidden, own);
            pack_slice(x, row, 0, own, d.hidden);
        });
    };
    auto add_to_hidden = [&](int row, int64_t column, const float* y) {
        add_sums(s.hidden + (int64_t)row * d.hidden, d.hidden, column, y);
    };

    PackedRows in = {t.packed, d.hidden, l.qkv.part[0].dtype};
    normed(l.norm_in, in);
    products(w, l.qkv, in, rows, [&](int row, int64_t column, const float* y) {
        store_sums(t.sums + row * l.qkv.columns, l.qkv.columns, column, y);
    });
    share_out(w, rows, [&](int row) { place_heads(d, l, s, pages, t, own, row); });
    if (s.kv_only) return;
    attend(w, plan, pages, d.heads / d.kv_heads, t.q, t.attended);

    int64_t width = (int64_t)d.heads * d.dim;
    PackedRows attended = {t.packed, width, l.o.part[0].dtype};
    share_out(w, rows, [&](int row) { pack_slice(attended, row, 0, t.attended + row * width, (int)width); });
    products(w, l.o, attended, rows, add_to_hidden);

    PackedRows mid = {t.packed, d.hidden, l.gate_up.part[0].dtype};
    normed(l.norm_mid, mid);
    PackedRows gated = {t.gated, d.intermediate, l.down.part[0].dtype};
    // Quantised operands have one scale for 32 components, so that they are packed once the row is whole.
    bool whole_rows = gated.dtype == QUANTISED;
    products(w, l.gate_up, mid, rows, [&](int row, int64_t column, const float* y) {
        float out[16];
        int64_t k = column / 2, left = d.intermediate - k;
        int n = left < 16 ? (int)left : 16;
        if (n <= 0) return;
        swiglu16(y, y + 16, out);
        if (whole_rows) __builtin_memcpy(t.sums + row * (int64_t)d.intermediate + k, out, sizeof(float) * (size_t)n);
        else pack_slice(gated, row, k, out, n);
    });
    if (whole_rows) {
        share_out(w, rows, [&](int row) {
            pack_slice(gated, row, 0, t.sums + row * (int64_t)d.intermediate, d.intermediate);
        });
    }
    products(w, l.down, gated, rows, add_to_hidden);
}
