// Decoders behind the C interface. All that comes from outside is checked here, before a kernel reads or writes:
// behind these checks, token ids are in the vocabulary, pages are in the pool and rows are in the caller's memory.
#include "../kvproxy.h"

#include <stdlib.h>
#include <string.h>

#include "../isa/kernels_table.h"
#include "decoder_abi.h"
#include "errors.h"
#include "matrix.h"
#include "pool.h"

using namespace kvproxy;

namespace {

#include "../attention/check.h"

const int MOST_ROWS = 1 << 16, MOST_THREADS = 1024;

}  // namespace

struct kvp_decoder {
    Decoder d;
    Product head;
    int layers_set;
    void* plan;
    char* scratch;
    size_t scratch_bytes;
    int busy;
};

namespace {

// One call at a time: the scratch memory is the decoder's.
struct Use {
    explicit Use(kvp_decoder* decoder) : decoder(decoder), taken(!__atomic_exchange_n(&decoder->busy, 1, __ATOMIC_ACQUIRE)) {}
    ~Use() {
        if (taken) __atomic_store_n(&decoder->busy, 0, __ATOMIC_RELEASE);
    }
    kvp_decoder* decoder;
    bool taken;
};

char* scratch_of(kvp_decoder* decoder, size_t bytes) {
    if (bytes <= decoder->scratch_bytes) return decoder->scratch;
    free(decoder->scratch);
    size_t rounded = (bytes + 63) / 64 * 64;
    decoder->scratch = (char*)aligned_alloc(64, rounded);
    decoder->scratch_bytes = decoder->scratch ? rounded : 0;
    return decoder->scratch;
}

int take_product(const kvp_product& from, int64_t columns, int64_t width, const char* name, Product* to) {
    if (from.parts < 1 || from.parts > KVP_PARTS) {
        return kvp_fail(KVP_BAD_ARGUMENT, "%s has %d matrices, not 1 to %d", name, from.parts, KVP_PARTS);
    }
    *to = Product();
    to->parts = from.parts;
    for (int i = 0; i < from.parts; i++) {
        if (!from.part[i]) return kvp_fail(KVP_BAD_ARGUMENT, "matrix %d of %s is missing", i, name);
        const Matrix& m = *kvp_matrix_of(from.part[i]);
        if (m.width != width) {
            return kvp_fail(KVP_BAD_ARGUMENT, "%s has %lld inputs, not %lld", name, (long long)m.width, (long long)width);
        }
        // All read the same packed rows, whose layout follows from the dtype.
        if (i && m.dtype != to->part[0].dtype) return kvp_fail(KVP_BAD_ARGUMENT, "%s has matrices of several dtypes", name);
        to->part[i] = m;
        to->column[i] = to->columns;
        to->columns += m.columns;
    }
    if (to->columns != columns) {
        return kvp_fail(KVP_BAD_ARGUMENT, "%s has %lld outputs, not %lld", name, (long long)to->columns, (long long)columns);
    }
    return KVP_OK;
}

int64_t interleaved(int64_t intermediate) { return (intermediate + 15) / 16 * 32; }

int check_tile(const Decoder& d, const kvp_tile* t, int pages) {
    if (!t || !t->token_ids || !t->positions || !t->row_tables || !t->tables || !t->hidden || !t->angles) {
        return kvp_fail(KVP_BAD_ARGUMENT, "the tile lacks one of its arrays");
    }
    if (t->rows < 1 || t->rows > MOST_ROWS) return kvp_fail(KVP_BAD_ARGUMENT, "a tile cannot have %d rows", t->rows);
    for (int i = 0; i < t->rows; i++) {
        if (t->token_ids[i] < 0 || t->token_ids[i] >= d.vocab) {
            return kvp_fail(KVP_BAD_ARGUMENT, "row %d: there is no token %d", i, t->token_ids[i]);
        }
    }
    AttentionRows rows = {t->rows, t->positions, t->row_tables, t->tables};
    const char* reason = nullptr;
    if (int row = check_rows(rows, t->table_entries, pages, &reason)) {
        return kvp_fail(KVP_BAD_ARGUMENT, "a row of the tile: %s (%d)", reason ? reason : "not in the pool", row);
    }
    return KVP_OK;
}

}  // namespace

KVP_API kvp_decoder* kvp_decoder_new(const kvp_decoder_shape* s) {
    if (!s || !s->inverse_frequencies || !s->embedding || !s->norm) {
        kvp_fail(KVP_BAD_ARGUMENT, "the decoder lacks one of its tables");
        return nullptr;
    }
    bool sizes = s->layers > 0 && s->hidden > 0 && s->heads > 0 && s->kv_heads > 0 && s->intermediate > 0 && s->vocab > 0;
    if (!sizes || s->heads % s->kv_heads || s->dim < 16 || s->dim > 256 || s->dim % 16 || s->hidden % 2 ||
        s->intermediate % 2) {
        kvp_fail(KVP_UNSUPPORTED, "no kernels for %d heads of %d, %d key heads, %d and %d components", s->heads, s->dim,
                 s->kv_heads, s->hidden, s->intermediate);
        return nullptr;
    }
    if (!kvp_table_fits(s->embedding_dtype, s->hidden)) {
        kvp_fail(KVP_UNSUPPORTED, "an embedding of dtype %d with %d components", s->embedding_dtype, s->hidden);
        return nullptr;
    }
    kvp_decoder* decoder = (kvp_decoder*)calloc(1, sizeof(kvp_decoder));
    DecoderLayer* layers = (DecoderLayer*)calloc((size_t)s->layers, sizeof(DecoderLayer));
    if (!decoder || !layers) {
        free(decoder);
        free(layers);
        kvp_fail(KVP_NO_MEMORY, "no memory for a decoder");
        return nullptr;
    }
    Decoder d = {s->layers, s->hidden, s->heads, s->kv_heads, s->dim, s->intermediate, s->vocab, s->eps, s->query_factor,
                 s->rotary_scaling, s->inverse_frequencies, s->embedding, s->embedding_dtype, s->norm, layers};
    decoder->d = d;
    if (take_product(s->head, s->vocab, s->hidden, "the output head", &decoder->head)) {
        kvp_decoder_free(decoder);
        return nullptr;
    }
    return decoder;
}

KVP_API int kvp_decoder_set_layer(kvp_decoder* decoder, int32_t index, const kvp_decoder_layer* from) {
    if (!decoder || !from || index < 0 || index >= decoder->d.layers) {
        return kvp_fail(KVP_BAD_ARGUMENT, "the decoder has no layer %d", index);
    }
    const Decoder& d = decoder->d;
    if (!from->norm_in || !from->norm_mid) return kvp_fail(KVP_BAD_ARGUMENT, "layer %d lacks a norm", index);
    DecoderLayer l = DecoderLayer();
    l.norm_in = from->norm_in;
    l.norm_mid = from->norm_mid;
    l.norm_q = from->norm_q;
    l.norm_k = from->norm_k;
    l.rotary = from->rotary;
    int64_t heads = (int64_t)d.heads * d.dim, own = (int64_t)d.kv_heads * d.dim;
    if (int e = take_product(from->qkv, heads + 2 * own, d.hidden, "q, k and v", &l.qkv)) return e;
    if (int e = take_product(from->o, d.hidden, heads, "o", &l.o)) return e;
    if (int e = take_product(from->gate_up, interleaved(d.intermediate), d.hidden, "gate and up", &l.gate_up)) return e;
    if (int e = take_product(from->down, d.hidden, d.intermediate, "down", &l.down)) return e;
    if (d.layer[index].norm_in == nullptr) decoder->layers_set++;
    d.layer[index] = l;
    return KVP_OK;
}

KVP_API void kvp_decoder_free(kvp_decoder* decoder) {
    if (!decoder) return;
    kvp_kernels_in_use()->free_step_plan(decoder->plan);
    free(decoder->d.layer);
    free(decoder->scratch);
    free(decoder);
}

static int run_layers(kvp_decoder* decoder, const kvp_pool* pool, const kvp_tile* tile, int32_t first, int32_t end,
                      int kv_only, int32_t threads) {
    if (!decoder || decoder->layers_set != decoder->d.layers) {
        return kvp_fail(KVP_BAD_ARGUMENT, "the decoder is missing, or a layer of it");
    }
    const Decoder& d = decoder->d;
    if (first < 0 || end > d.layers || first >= end) {
        return kvp_fail(KVP_BAD_ARGUMENT, "there are no layers %d to %d", first, end);
    }
    if (threads < 1 || threads > MOST_THREADS) return kvp_fail(KVP_BAD_ARGUMENT, "%d threads", threads);
    Pool p;
    if (int e = kvp_check_pool(pool, d.layers, d.kv_heads, d.dim, &p)) return e;
    if (int e = check_tile(d, tile, p.pages)) return e;
    Use use(decoder);
    if (!use.taken) return kvp_fail(KVP_BAD_ARGUMENT, "the decoder is in use by another thread");
    const kvp_kernels* k = kvp_kernels_in_use();
    char* scratch = scratch_of(decoder, k->step_scratch_bytes(d, tile->rows, threads));
    if (!decoder->plan) decoder->plan = k->new_step_plan();
    if (!scratch || !decoder->plan) return kvp_fail(KVP_NO_MEMORY, "no memory for a tile of %d rows", tile->rows);
    AttentionRows rows = {tile->rows, tile->positions, tile->row_tables, tile->tables};
    Step step = {rows, tile->token_ids, tile->hidden, tile->angles, first, end, kv_only};
    if (k->run_step(d, step, p, scratch, decoder->plan, threads)) {
        return kvp_fail(KVP_NO_MEMORY, "no memory for the attention of %d rows", tile->rows);
    }
    return KVP_OK;
}

KVP_API int kvp_decoder_step(kvp_decoder* decoder, const kvp_pool* pool, const kvp_tile* tile, int32_t first,
                             int32_t end, int32_t threads) {
    return run_layers(decoder, pool, tile, first, end, 0, threads);
}

KVP_API int kvp_decoder_first_kv(kvp_decoder* decoder, const kvp_pool* pool, const kvp_tile* tile, int32_t threads) {
    return run_layers(decoder, pool, tile, 0, 1, 1, threads);
}

KVP_API int kvp_decoder_logits(kvp_decoder* decoder, const float* hidden, int32_t rows, float* logits,
                               int32_t threads) {
    if (!decoder || !hidden || !logits) return kvp_fail(KVP_BAD_ARGUMENT, "the decoder, its rows or its logits are missing");
    if (rows < 1 || rows > MOST_ROWS) return kvp_fail(KVP_BAD_ARGUMENT, "logits of %d rows", rows);
    if (threads < 1 || threads > MOST_THREADS) return kvp_fail(KVP_BAD_ARGUMENT, "%d threads", threads);
    Use use(decoder);
    if (!use.taken) return kvp_fail(KVP_BAD_ARGUMENT, "the decoder is in use by another thread");
    const kvp_kernels* k = kvp_kernels_in_use();
    char* scratch = scratch_of(decoder, k->logits_scratch_bytes(decoder->head, rows));
    if (!scratch) return kvp_fail(KVP_NO_MEMORY, "no memory for the logits of %d rows", rows);
    k->run_logits(decoder->head, hidden, rows, scratch, logits, threads);
    return KVP_OK;
}
