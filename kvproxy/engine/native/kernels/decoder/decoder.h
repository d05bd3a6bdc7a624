// A dense pre-norm decoder (Llama, Qwen2, Qwen3, Mistral, SmolLM3): its weights, and the memory of one step.
// Plain data, the same for every instruction set.
#pragma once

enum { PARTS = 4 };

// One product whose columns stand in one or more matrices: weights of several types have a matrix each.
struct Product {
    int parts;
    struct Matrix part[PARTS];
    int64_t column[PARTS];  // where the part's columns begin in the result
    int64_t columns;        // of the result
};

struct DecoderLayer {
    const float* norm_in;   // [hidden]
    const float* norm_mid;  // [hidden]
    const float* norm_q;    // [dim], or null
    const float* norm_k;    // [dim], or null
    int rotary;             // 0: this layer has no position embedding
    struct Product qkv;     // rows: query heads, key heads, value heads
    struct Product o;
    struct Product gate_up;  // gate and up alternate by 16 columns
    struct Product down;
};

struct Decoder {
    int layers, hidden, heads, kv_heads, dim, intermediate, vocab;
    float eps;
    float query_factor;  // the model's factor of scores times log2(e)
    double rotary_scaling;
    const float* inverse_frequencies;  // [dim/2]
    const void* embedding;             // [vocab][hidden]
    int embedding_dtype;
    const float* norm;  // [hidden]
    struct DecoderLayer* layer;
};

// A pool of pages: [layers][2][kv_heads][pages] blocks.
struct Pool {
    char* data;
    int dtype;
    int64_t layer_bytes, kind_bytes, head_bytes, page_bytes;
    int pages;
};

// Memory of a step that nothing outlives a layer in; sized by step_scratch_bytes.
struct StepScratch {
    float* sums;  // [rows][qkv columns], later [rows][intermediate]
    float* q;    // [rows][heads][dim]
    float* attended;  // [rows][heads * dim]
    void* packed;     // rows as a product reads them: normed or attended
    void* gated;      // rows as a product reads them: SwiGLU's
    float* threads;   // [threads][widest row]
    void* attention;
    int64_t thread_floats;
};

// One tile's way through layers [first, end).
struct Step {
    struct AttentionRows rows;
    const int32_t* token_ids;  // [rows]
    float* hidden;   // [rows][hidden]: the residual stream; behind the last layer, the result of the last norm
    float* angles;   // [rows][dim]: cosines and sines, filled at layer 0
    int first, end;
    int kv_only;  // 1: a layer ends when its keys and values are written; nothing is attended to
};
