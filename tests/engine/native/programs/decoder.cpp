// Whole decoders: logits and pages are the same to the bit in one tile, in pieces, beside mates, by any number of
// threads and calls, and near to float64 where everything is float32.
#include "decoder_model.h"

namespace {

struct Tokens {
    Tokens(Random& r, int n, int vocab) : n(n), ids(n) {
        for (int i = 0; i < n; i++) ids[i] = r.between(0, vocab - 1);
    }
    int n;
    Array<int32_t> ids;
};

// A pool, and page tables of two sequences in it.
struct Pages {
    Pages(const Model& m, int dtype, int pages, int first) : memory(m.pool_bytes(pages, dtype)), tables(4) {
        for (int64_t i = 0; i < memory.n / element(dtype); i++) put(memory.p, i, dtype, 0.5f);
        pool = {memory.p, memory.n, dtype, pages};
        for (int i = 0; i < 4; i++) tables[i] = (first + i * 3) % (pages - 1) + 1;
    }
    Array<uint8_t> memory;
    Array<int32_t> tables;
    kvp_pool pool;
};

// Runs tokens [first, first + n) of a sequence, and `mates` rows of another one beside them; their logits.
void run(const Model& m, Pages& at, const Tokens& tokens, int first, int n, int mates, int threads, bool layer_by_layer,
         float* logits) {
    const int rows = n + mates;
    Array<int32_t> ids(rows), positions(rows), row_tables(rows);
    for (int i = 0; i < rows; i++) {
        bool mate = i >= n;
        positions[i] = mate ? i - n : first + i;
        ids[i] = mate ? (i * 7) % m.vocab : tokens.ids[first + i];
        row_tables[i] = mate ? 2 : 0;
    }
    Array<float> hidden((int64_t)rows * m.hidden), angles((int64_t)rows * m.dim), all((int64_t)rows * m.vocab);
    Array<int64_t> likeliest(rows);
    kvp_tile tile = {rows, 4, ids.p, positions.p, row_tables.p, at.tables.p, hidden.p, angles.p};
    for (int layer = 0; layer < Model::LAYERS; layer += layer_by_layer ? 1 : Model::LAYERS) {
        int end = layer_by_layer ? layer + 1 : Model::LAYERS;
        called(kvp_decoder_step(m.decoder, &at.pool, &tile, layer, end, threads));
    }
    called(kvp_decoder_logits(m.decoder, hidden.p, rows, all.p, likeliest.p, threads));
    for (int i = 0; i < rows; i++) {
        const float* row = all.p + (int64_t)i * m.vocab;
        CHECK(likeliest[i] >= 0 && likeliest[i] < m.vocab, "token %lld", (long long)likeliest[i]);
        for (int j = 0; j < m.vocab; j++) CHECK(row[j] <= row[likeliest[i]], "row %d: %d is likelier", i, j);
    }
    memcpy(logits, all.p, sizeof(float) * (size_t)n * (size_t)m.vocab);
}

}  // namespace

void fuzz_decoder(Random& r) {
    Model m(r);
    int pool_dtype = r.between(KVP_BF16, KVP_F32), pages = r.between(8, 11);
    Tokens tokens(r, r.between(1, r.chance(4) ? 300 : 60), m.vocab);
    const int64_t count = (int64_t)tokens.n * m.vocab;
    Array<float> whole(count);
    Pages first(m, pool_dtype, pages, 0);
    run(m, first, tokens, 0, tokens.n, 0, 1, false, whole.p);
    for (int i = 0; i < 4; i++) {
        Pages other(m, pool_dtype, pages + i, i);
        Array<float> pieces(count);
        for (int at = 0; at < tokens.n;) {
            int n = i == 0 && tokens.n < 80 ? 1 : r.between(1, tokens.n - at);
            int mates = r.chance(2) ? r.between(1, 5) : 0;
            run(m, other, tokens, at, n, mates, i + 1, r.chance(2), pieces.p + (int64_t)at * m.vocab);
            at += n;
        }
        CHECK(pieces.same(whole), "%d tokens in pieces, %d threads", tokens.n, i + 1);
        for (int page = 0; page * DECODER_PAGE < tokens.n; page++) {
            int left = tokens.n - page * DECODER_PAGE, n = left < DECODER_PAGE ? left : DECODER_PAGE;
            int64_t bytes = (int64_t)Model::LAYERS * 2 * m.kv_heads * n * m.dim * element(pool_dtype);
            Array<uint8_t> a(bytes), b(bytes);
            called(kvp_page_read(&first.pool, Model::LAYERS, m.kv_heads, m.dim, first.tables[page], n, a.p));
            called(kvp_page_read(&other.pool, Model::LAYERS, m.kv_heads, m.dim, other.tables[page], n, b.p));
            CHECK(a.same(b), "page %d", page);
        }
    }
    if (m.dtype != KVP_F32 || pool_dtype != KVP_F32 || tokens.n > 100) return;
    Array<double> want(count);
    reference_logits(m, tokens.ids.p, tokens.n, want.p);
    for (int64_t i = 0; i < count; i++) near(whole[i], want[i], 2e-3 + 1e-3 * fabs(want[i]), "logit", i);
}
