// The C interface of decoders: weights in, a tile's step and logits out. Part of kvproxy.h.
#pragma once

enum { KVP_PARTS = 4 };

struct kvp_matrix;
struct kvp_decoder;

// A product's matrices side by side: the first `parts` of them.
struct kvp_product {
    int32_t parts;
    const struct kvp_matrix* part[KVP_PARTS];
};

struct kvp_decoder_layer {
    const float* norm_in;   // [hidden]
    const float* norm_mid;  // [hidden]
    const float* norm_q;    // [dim], or null
    const float* norm_k;    // [dim], or null
    int32_t rotary;         // 0: no position embedding
    struct kvp_product qkv, o, gate_up, down;
};

struct kvp_decoder_shape {
    int32_t layers, hidden, heads, kv_heads, dim, intermediate, vocab;
    int32_t embedding_dtype;
    float eps, query_factor;
    double rotary_scaling;
    const float* inverse_frequencies;  // [dim / 2]
    const void* embedding;             // [vocab][hidden]
    const float* norm;                 // [hidden]
    struct kvp_product head;
};

// A pool of `pages` pages: [layers][2][kv_heads][pages][256 * dim] elements of one dtype, `bytes` in all.
struct kvp_pool {
    void* data;
    int64_t bytes;
    int32_t dtype, pages;
};

// A tile: rows' token ids and positions, where each row's pages begin in `tables`, and the page tables.
struct kvp_tile {
    int32_t rows, table_entries;
    const int32_t* token_ids;
    const int32_t* positions;
    const int32_t* row_tables;
    const int32_t* tables;
    float* hidden;  // [rows][hidden]: the residual stream between calls; behind the last layer, the last norm's result
    float* angles;  // [rows][dim]: kept between the calls of one tile
};

// Weights, norms and tables stay the caller's, and must outlive the decoder. Null where the shape is not possible.
KVP_API struct kvp_decoder* kvp_decoder_new(const struct kvp_decoder_shape* shape);
KVP_API int kvp_decoder_set_layer(struct kvp_decoder* decoder, int32_t index, const struct kvp_decoder_layer* layer);
KVP_API void kvp_decoder_free(struct kvp_decoder* decoder);
// Runs layers [first, end) over the tile; 0 begins with the embedding, and the last one ends with the last norm.
KVP_API int kvp_decoder_step(struct kvp_decoder* decoder, const struct kvp_pool* pool, const struct kvp_tile* tile,
                             int32_t first, int32_t end, int32_t threads);
// Writes the keys and values of layer 0, which follow from token ids and positions alone, into the tile's pages.
KVP_API int kvp_decoder_first_kv(struct kvp_decoder* decoder, const struct kvp_pool* pool, const struct kvp_tile* tile,
                                 int32_t threads);
// logits: [rows][vocab].
KVP_API int kvp_decoder_logits(struct kvp_decoder* decoder, const float* hidden, int32_t rows, float* logits,
                               int32_t threads);
