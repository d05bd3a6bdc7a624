// A small random decoder: its weights, the decoder that the library makes of them, and the same in float64.
#pragma once
#include "check.h"

enum { DECODER_PAGE = 256, MOST_HIDDEN = 128 };

// Weights in float64 too, whatever the dtype, from which the library's matrices are made.
struct Weight {
    Weight(Random& r, int dtype, int64_t columns, int64_t width)
        : columns(columns), width(width), data(columns * width * element(dtype)), values(columns * width) {
        for (int64_t i = 0; i < columns * width; i++) {
            values[i] = plain_value(r) / 4;
            put(data.p, i, dtype, (float)values[i]);
        }
    }
    // `order`: the matrix's columns, all rows of this one as they come where null.
    kvp_matrix* matrix(int dtype, const Array<int32_t>* order) {
        kvp_rows source = {data.p, columns, width};
        const int32_t* rows = order ? order->p : nullptr;
        kvp_matrix* m = kvp_matrix_new(dtype, order ? order->n : columns, width, &source, 1, rows, nullptr, 2);
        CHECK(m, "%s", kvp_last_error());
        return m;
    }
    void times(const double* x, double* y) const {
        for (int64_t c = 0; c < columns; c++) {
            y[c] = 0;
            for (int64_t k = 0; k < width; k++) y[c] += values[c * width + k] * x[k];
        }
    }
    int64_t columns, width;
    Array<uint8_t> data;
    Array<double> values;
};

struct LayerWeights {
    LayerWeights(Random& r, int dtype, int hidden, int heads, int kv_heads, int dim, int intermediate)
        : qkv(r, dtype, (int64_t)(heads + 2 * kv_heads) * dim, hidden), o(r, dtype, hidden, (int64_t)heads * dim),
          gate_up(r, dtype, 2 * (int64_t)intermediate, hidden), down(r, dtype, hidden, intermediate), norm_in(hidden),
          norm_mid(hidden), norm_q(dim), norm_k(dim), order((intermediate + 15) / 16 * 32), normed_heads(r.chance(2)),
          rotary(!r.chance(4)) {
        Array<float>* norms[] = {&norm_in, &norm_mid, &norm_q, &norm_k};
        for (Array<float>* norm : norms) {
            for (int64_t i = 0; i < norm->n; i++) (*norm)[i] = 1 + r.uniform() / 4;
        }
        for (int i = 0; i < order.n; i++) {  // gate and up alternate by 16 columns
            int at = i / 32 * 16 + i % 16;
            order[i] = at < intermediate ? i % 32 / 16 * intermediate + at : -1;
        }
    }
    Weight qkv, o, gate_up, down;
    Array<float> norm_in, norm_mid, norm_q, norm_k;
    Array<int32_t> order;
    bool normed_heads, rotary;
};

struct Model {
    enum { LAYERS = 2 };
    explicit Model(Random& r)
        : dtype(r.between(KVP_BF16, KVP_F32)), kv_heads(r.between(1, 2)), heads(kv_heads * r.between(1, 3)),
          dim(16 * r.between(1, 4)), hidden(2 * r.between(8, 40)), intermediate(2 * r.between(5, 50)),
          vocab(r.between(3, 70)),
          frequencies(dim / 2), norm(hidden), embedding(r, dtype, vocab, hidden), head(r, dtype, vocab, hidden) {
        for (int i = 0; i < dim / 2; i++) frequencies[i] = powf(100.0f, -2.0f * (float)i / (float)dim);
        for (int i = 0; i < hidden; i++) norm[i] = 1 + r.uniform() / 4;
        kvp_decoder_shape shape = {LAYERS, hidden, heads, kv_heads, dim, intermediate, vocab, dtype, 1e-5f,
                                   1.44269504f / sqrtf((float)dim), 1.0, frequencies.p, embedding.data.p, norm.p, {}};
        shape.head = product(head, nullptr);
        decoder = kvp_decoder_new(&shape);
        CHECK(decoder, "%s", kvp_last_error());
        for (int i = 0; i < LAYERS; i++) {
            LayerWeights* l = layer[i] = new LayerWeights(r, dtype, hidden, heads, kv_heads, dim, intermediate);
            kvp_decoder_layer given = {l->norm_in.p, l->norm_mid.p, l->normed_heads ? l->norm_q.p : nullptr,
                                       l->normed_heads ? l->norm_k.p : nullptr, l->rotary, product(l->qkv, nullptr),
                                       product(l->o, nullptr), product(l->gate_up, &l->order),
                                       product(l->down, nullptr)};
            called(kvp_decoder_set_layer(decoder, i, &given));
        }
    }
    Model(const Model&) = delete;
    ~Model() {
        kvp_decoder_free(decoder);
        for (int i = 0; i < matrices; i++) kvp_matrix_free(made[i]);
        for (LayerWeights* l : layer) delete l;
    }
    kvp_product product(Weight& w, const Array<int32_t>* order) {
        kvp_product p = {};
        p.parts = 1;
        p.part[0] = made[matrices++] = w.matrix(dtype, order);
        return p;
    }
    int64_t pool_bytes(int pages, int pool_dtype) const {
        return (int64_t)LAYERS * 2 * kv_heads * pages * DECODER_PAGE * dim * element(pool_dtype);
    }
    int dtype, kv_heads, heads, dim, hidden, intermediate, vocab;
    Array<float> frequencies, norm;
    Weight embedding, head;
    LayerWeights* layer[LAYERS];
    kvp_matrix* made[1 + 4 * LAYERS];
    int matrices = 0;
    kvp_decoder* decoder;
};

// Logits of every position of `n` tokens in float64.
void reference_logits(const Model& m, const int32_t* tokens, int n, double* logits);
