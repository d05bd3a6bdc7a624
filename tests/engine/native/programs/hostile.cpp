// What no caller should pass: page ids, tables, positions, tokens and sizes out of range are refused before anything is
// read or written. Each attempt spoils one field of sound arguments.
#include "decoder_model.h"

namespace {

const int32_t wild[] = {-1, -2, INT32_MIN, INT32_MAX, INT32_MAX - 255, 1 << 30, 65536, 1000, -256, -257};

int32_t any_wild(Random& r) { return wild[r.between(0, (int)(sizeof wild / sizeof *wild) - 1)]; }

// Several arrays of a tile or of rows, sound at first.
struct Sound {
    Sound(Random& r, const Model& m)
        : rows(r.between(1, 6)), ids(rows), positions(rows), row_tables(rows), tables(3),
          hidden((int64_t)rows * m.hidden),
          angles((int64_t)rows * m.dim), memory(m.pool_bytes(5, KVP_BF16)) {
        for (int i = 0; i < rows; i++) ids[i] = i % m.vocab, positions[i] = i, row_tables[i] = 0;
        for (int i = 0; i < 3; i++) tables[i] = i + 1;
        memset(memory.p, 0, memory.bytes);
        pool = {memory.p, memory.n, KVP_BF16, 5};
        tile = {rows, 3, ids.p, positions.p, row_tables.p, tables.p, hidden.p, angles.p};
    }
    int rows;
    Array<int32_t> ids, positions, row_tables, tables;
    Array<float> hidden, angles;
    Array<uint8_t> memory;
    kvp_pool pool;
    kvp_tile tile;
};

// Spoils one field; no wild value is sound by chance.
void spoil(Random& r, Sound& s) {
    int row = r.between(0, s.rows - 1);
    switch (r.between(0, 11)) {
        case 0: s.ids[row] = any_wild(r); break;
        case 1: s.positions[row] = any_wild(r); break;
        case 2: s.row_tables[row] = any_wild(r); break;
        case 3: s.tables[0] = any_wild(r); break;
        case 4: s.tables[0] = r.chance(2) ? 0 : 5; break;
        case 5: s.positions[row] = 3 * DECODER_PAGE + r.between(0, 1); break;
        case 6: s.row_tables[row] = 3; break;
        case 7: s.tile.rows = r.chance(2) ? 0 : r.chance(2) ? INT32_MAX : -r.between(1, 1000); break;
        case 8: s.tile.table_entries = -r.between(0, 1000); break;
        case 9: s.pool.bytes += r.chance(2) ? 1 : -1; break;
        case 10: s.pool.pages = r.chance(2) ? any_wild(r) : 6; break;
        default: s.pool.dtype = r.chance(2) ? 3 : any_wild(r); break;
    }
}

void refused(int code, const char* what) {
    CHECK(code < 0, "%s was not refused", what);
    CHECK(kvp_last_error()[0], "%s: no reason", what);
}

}  // namespace

void fuzz_hostile(Random& r) {
    Model m(r);
    {
        Sound s(r, m);
        called(kvp_decoder_step(m.decoder, &s.pool, &s.tile, 0, Model::LAYERS, 1));
    }
    for (int i = 0; i < 40; i++) {
        Sound s(r, m);
        spoil(r, s);
        refused(kvp_decoder_step(m.decoder, &s.pool, &s.tile, 0, Model::LAYERS, r.between(1, 4)), "a step");
        kvp_rows_of_pages rows = {s.tile.rows, s.tile.table_entries, s.positions.p, s.row_tables.p, s.tables.p};
        bool sound_ids = true;
        for (int j = 0; j < s.rows; j++) sound_ids = sound_ids && s.ids[j] >= 0 && s.ids[j] < m.vocab;
        if (!sound_ids) continue;  // rows have no tokens
        Array<float> q((int64_t)s.rows * m.heads * m.dim), out(q.n), k((int64_t)s.rows * m.kv_heads * m.dim);
        int group = m.heads / m.kv_heads;
        refused(kvp_attend(&s.pool, Model::LAYERS, m.kv_heads, m.dim, 0, &rows, group, q.p, out.p, 2), "attention");
        refused(kvp_write_kv(&s.pool, Model::LAYERS, m.kv_heads, m.dim, 0, &rows, k.p, k.p, 2), "a write");
        for (int64_t j = 0; j < s.memory.n; j++) CHECK(s.memory[j] == 0, "the pool was written at %lld", (long long)j);
    }
    for (int i = 0; i < 10; i++) {
        Sound s(r, m);
        int32_t w = any_wild(r);
        refused(kvp_decoder_step(m.decoder, &s.pool, &s.tile, w, Model::LAYERS, 1), "a layer");
        refused(kvp_decoder_step(m.decoder, &s.pool, &s.tile, 0, w == 1 ? 3 : w, 1), "an end");
        if (w < 1 || w > 1024) refused(kvp_decoder_step(m.decoder, &s.pool, &s.tile, 0, Model::LAYERS, w), "threads");
        Array<float> q((int64_t)s.rows * m.heads * m.dim), out(q.n);
        kvp_rows_of_pages rows = {s.rows, 3, s.positions.p, s.row_tables.p, s.tables.p};
        refused(kvp_attend(&s.pool, Model::LAYERS, m.kv_heads, m.dim, w, &rows, 1, q.p, out.p, 1), "a layer");
        refused(kvp_attend(&s.pool, w, m.kv_heads, m.dim, 0, &rows, 1, q.p, out.p, 1), "layers");
        refused(kvp_attend(&s.pool, Model::LAYERS, w, m.dim, 0, &rows, 1, q.p, out.p, 1), "key heads");
        refused(kvp_attend(&s.pool, Model::LAYERS, m.kv_heads, w, 0, &rows, 1, q.p, out.p, 1), "components");
        if (w < 1 || w > 1024) {
            refused(kvp_attend(&s.pool, Model::LAYERS, m.kv_heads, m.dim, 0, &rows, w, q.p, out.p, 1), "a group");
        }
        refused(kvp_page_read(&s.pool, Model::LAYERS, m.kv_heads, m.dim, w, 1, s.hidden.p), "a page");
        refused(kvp_page_read(&s.pool, Model::LAYERS, m.kv_heads, m.dim, 1, w, s.hidden.p), "positions");
        refused(kvp_page_write(&s.pool, Model::LAYERS, m.kv_heads, m.dim, 0, 1, s.hidden.p), "page 0");
        refused(kvp_decoder_logits(m.decoder, s.hidden.p, w == 1000 || w == 65536 ? 0 : w, out.p, nullptr, 1), "rows");
        kvp_rows source = {m.head.data.p, m.vocab, m.hidden};
        Array<int32_t> order(4);
        for (int j = 0; j < 4; j++) order[j] = j == 2 ? (w == -1 ? m.vocab : w) : 0;
        CHECK(!kvp_matrix_new(m.dtype, 4, m.hidden, &source, 1, order.p, nullptr, 1), "a column of row %d", order[2]);
        source.stride = w;
        if (w < m.hidden || w > 1 << 24) {
            CHECK(!kvp_matrix_new(m.dtype, m.vocab, m.hidden, &source, 1, nullptr, nullptr, 1), "stride %d", w);
        }
        kvp_block_rows blocks = {m.head.data.p, 1, w, 8};
        if (w < 34) CHECK(!kvp_matrix_new_quantised(1, 32, &blocks, 1, nullptr, nullptr, 1), "%d bytes of a row", w);
        blocks = {m.head.data.p, 1, 34, w};
        CHECK(!kvp_matrix_new_quantised(1, 32, &blocks, 1, nullptr, nullptr, 1), "kind %d", w);
    }
    refused(kvp_attend(nullptr, 1, 1, 16, 0, nullptr, 1, nullptr, nullptr, 1), "nothing");
    refused(kvp_decoder_step(nullptr, nullptr, nullptr, 0, 1, 1), "nothing");
    refused(kvp_linear(nullptr, nullptr, 0, 1, nullptr, 1), "nothing");
}
