// Attention over pages against float64, and its rows' bits against other tiles, threads and pages.
#include "check.h"

namespace {

enum { PAGE = 256, SEQUENCES = 3, LAYERS = 2 };

struct Shape {
    int dtype, kv_heads, group, dim, pages;
};

struct Sequence {
    int length, table;  // table: where its pages begin in `tables`
};

int64_t pool_elements(const Shape& s) { return (int64_t)LAYERS * 2 * s.kv_heads * s.pages * PAGE * s.dim; }

// Finite values everywhere, as the engine's pool holds them: what a row must not see is large.
void fill_pool(Array<uint8_t>& pool, const Shape& s) {
    for (int64_t i = 0; i < pool_elements(s); i++) put(pool.p, i, s.dtype, 100.0f);
}

struct Rows {
    explicit Rows(int n) : n(n), position(n), table(n) {}
    int n;
    Array<int32_t> position, table;
    kvp_rows_of_pages with(const Array<int32_t>& tables) const {
        return {n, (int32_t)tables.n, position.p, table.p, tables.p};
    }
};

// Distinct pages for every sequence, but that the second begins with those of the first where both are long enough.
void give_pages(Random& r, Sequence* sequences, Array<int32_t>& tables, int pages) {
    Array<int32_t> free_pages(pages - 1);
    for (int i = 0; i < pages - 1; i++) free_pages[i] = i + 1;
    for (int i = pages - 2; i > 0; i--) {
        int j = r.between(0, i), kept = free_pages[i];
        free_pages[i] = free_pages[j];
        free_pages[j] = kept;
    }
    int used = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        int other = sequences[0].length, length = sequences[i].length;
        int shared = i == 1 ? (other < length ? other : length) / PAGE : 0;
        int own = (sequences[i].length + PAGE - 1) / PAGE;
        for (int p = 0; p < own; p++) {
            tables[sequences[i].table + p] = p < shared ? tables[sequences[0].table + p] : free_pages[used++];
        }
    }
}

// One row's attention in float64, from what the pages hold.
void reference(const Shape& s, const Array<uint8_t>* pages, int positions, const float* q, int head, double* out,
               double* size) {
    Array<double> weight(positions);
    double most = -1e300, total = 0;
    for (int j = 0; j < positions; j++) {
        double score = 0;
        const uint8_t* page = pages[j / PAGE].p;
        int64_t keys = (((int64_t)1 * 2 + 0) * s.kv_heads + head) * PAGE * s.dim;  // layer 1
        for (int d = 0; d < s.dim; d++) score += (double)q[d] * get(page, keys + (j % PAGE) * s.dim + d, s.dtype);
        weight[j] = score;
        most = score > most ? score : most;
    }
    for (int j = 0; j < positions; j++) total += weight[j] = exp2(weight[j] - most);
    for (int d = 0; d < s.dim; d++) out[d] = size[d] = 0;
    for (int j = 0; j < positions; j++) {
        int64_t values = (((int64_t)1 * 2 + 1) * s.kv_heads + head) * PAGE * s.dim;
        for (int d = 0; d < s.dim; d++) {
            double term = weight[j] / total * get(pages[j / PAGE].p, values + (j % PAGE) * s.dim + d, s.dtype);
            out[d] += term;
            size[d] += fabs(term);
        }
    }
}

}  // namespace

void fuzz_attention(Random& r) {
    int dim = 16 * r.between(1, r.chance(4) ? 16 : 6);
    Shape s = {r.between(KVP_BF16, KVP_F32), r.between(1, 3), r.between(1, 5), dim, 0};
    Sequence sequences[SEQUENCES];
    int entries = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        sequences[i] = {r.between(1, r.chance(2) ? 700 : 40), entries};
        entries += (sequences[i].length + PAGE - 1) / PAGE;
    }
    if (sequences[0].length / PAGE && r.chance(2)) sequences[1].length = sequences[0].length;
    sequences[2].table = sequences[1].table + (sequences[1].length + PAGE - 1) / PAGE;
    entries = sequences[2].table + (sequences[2].length + PAGE - 1) / PAGE;
    s.pages = entries + r.between(2, 4);
    Array<int32_t> tables(entries);
    give_pages(r, sequences, tables, s.pages);
    Array<uint8_t> memory(pool_elements(s) * element(s.dtype));
    fill_pool(memory, s);
    kvp_pool pool = {memory.p, (int64_t)memory.bytes, s.dtype, s.pages};

    // Keys and values of the sequence's own positions; shared pages are written once, by the first.
    const int own = s.kv_heads * s.dim, heads = s.kv_heads * s.group;
    for (int i = 0; i < SEQUENCES; i++) {
        int first = 0;
        while (i == 1 && first < sequences[1].length && first / PAGE < sequences[0].length / PAGE &&
               tables[sequences[1].table + first / PAGE] == tables[sequences[0].table + first / PAGE]) first++;
        if (first == sequences[i].length) continue;
        Rows rows(sequences[i].length - first);
        Array<float> k(rows.n * own), v(rows.n * own);
        for (int j = 0; j < rows.n; j++) rows.position[j] = first + j, rows.table[j] = sequences[i].table;
        for (int64_t j = 0; j < k.n; j++) k[j] = plain_value(r), v[j] = plain_value(r);
        kvp_rows_of_pages places = rows.with(tables);
        for (int layer = 0; layer < LAYERS; layer++) {
            called(kvp_write_kv(&pool, LAYERS, s.kv_heads, s.dim, layer, &places, k.p, v.p, r.between(1, 4)));
        }
    }

    // A tile: the last rows of each sequence, and rows anywhere in them.
    Rows tile(r.between(1, r.chance(3) ? 90 : 12));
    for (int i = 0; i < tile.n; i++) {
        const Sequence& of = sequences[r.between(0, SEQUENCES - 1)];
        tile.table[i] = of.table;
        tile.position[i] = r.chance(2) ? of.length - 1 : r.between(0, of.length - 1);
    }
    if (r.chance(2)) {  // a prompt: rows one behind the other
        int n = tile.n < sequences[0].length ? tile.n : sequences[0].length;
        for (int i = 0; i < n; i++) tile.table[i] = sequences[0].table, tile.position[i] = sequences[0].length - n + i;
    }
    const int64_t line = (int64_t)heads * s.dim;
    Array<float> q(tile.n * line), out(tile.n * line);
    for (int64_t i = 0; i < q.n; i++) q[i] = r.uniform() * 0.5f;
    kvp_rows_of_pages places = tile.with(tables);
    called(kvp_attend(&pool, LAYERS, s.kv_heads, s.dim, 1, &places, s.group, q.p, out.p, 1));

    for (int i = 0; i < (tile.n < 5 ? tile.n : 5); i++) {
        int row = r.between(0, tile.n - 1), positions = tile.position[row] + 1, used = (positions + PAGE - 1) / PAGE;
        Array<uint8_t>* pages = (Array<uint8_t>*)malloc(sizeof(Array<uint8_t>) * (size_t)used);
        for (int p = 0; p < used; p++) {
            new (pages + p) Array<uint8_t>((int64_t)LAYERS * 2 * own * PAGE * element(s.dtype));
            called(kvp_page_read(&pool, LAYERS, s.kv_heads, s.dim, tables[tile.table[row] + p], PAGE, pages[p].p));
        }
        Array<double> want(s.dim), size(s.dim);
        int head = r.between(0, heads - 1);
        reference(s, pages, positions, q.p + row * line + head * s.dim, head / s.group, want.p, size.p);
        double relative = s.dtype == KVP_BF16 ? 0x1p-7 : 2e-5;
        const float* got = out.p + row * line + head * s.dim;
        for (int d = 0; d < s.dim; d++) near(got[d], want[d], size[d] * relative + 1e-6, "attention", d);
        for (int p = 0; p < used; p++) pages[p].~Array<uint8_t>();
        free(pages);
    }
    for (int threads = 2; threads <= 4; threads++) {
        Array<float> again(tile.n * line);
        called(kvp_attend(&pool, LAYERS, s.kv_heads, s.dim, 1, &places, s.group, q.p, again.p, threads));
        CHECK(again.same(out), "%d threads", threads);
    }
    // The same pages under other numbers in another pool, what was never written aside, and rows in smaller tiles.
    Shape t = s;
    t.pages = s.pages + 3;
    Array<uint8_t> memory2(pool_elements(t) * element(t.dtype));
    for (int64_t i = 0; i < pool_elements(t); i++) put(memory2.p, i, t.dtype, -1.5f);
    kvp_pool pool2 = {memory2.p, (int64_t)memory2.bytes, t.dtype, t.pages};
    Array<int32_t> tables2(entries);
    for (int i = 0; i < entries; i++) tables2[i] = t.pages - tables[i];
    for (int i = 0; i < SEQUENCES; i++) {
        for (int p = 0; p * PAGE < sequences[i].length; p++) {
            int left = sequences[i].length - p * PAGE, n = left < PAGE ? left : PAGE;
            Array<uint8_t> rows((int64_t)LAYERS * 2 * own * n * element(s.dtype));
            called(kvp_page_read(&pool, LAYERS, s.kv_heads, s.dim, tables[sequences[i].table + p], n, rows.p));
            called(kvp_page_write(&pool2, LAYERS, s.kv_heads, s.dim, tables2[sequences[i].table + p], n, rows.p));
            Array<uint8_t> back((int64_t)LAYERS * 2 * own * n * element(s.dtype));
            called(kvp_page_read(&pool2, LAYERS, s.kv_heads, s.dim, tables2[sequences[i].table + p], n, back.p));
            CHECK(back.same(rows), "a page written and read, %d positions", n);
        }
    }
    for (int i = 0; i < 4; i++) {
        int first = r.between(0, tile.n - 1), n = i == 0 ? 1 : r.between(1, tile.n - first);
        Rows part(n);
        memcpy(part.position.p, tile.position.p + first, part.position.bytes);
        memcpy(part.table.p, tile.table.p + first, part.table.bytes);
        Array<float> some(n * line), given(n * line);
        memcpy(given.p, q.p + first * line, given.bytes);
        kvp_rows_of_pages there = part.with(tables2);
        called(kvp_attend(&pool2, LAYERS, s.kv_heads, s.dim, 1, &there, s.group, given.p, some.p, r.between(1, 4)));
        bool same = !memcmp(some.p, out.p + first * line, some.bytes);
        CHECK(same, "rows %d to %d of %d in another pool", first, first + n, tile.n);
    }
}
