// Lines' results over their pages so far, and the next page's added to them: online softmax, in page order.
//
// The first page starts them as it is. The bits are the same whether a page's sums come from the cache at once or from
// memory later. Merging in another order, or merged chunks of pages, would round otherwise: not done anywhere.
#pragma once

// The largest score and the weight of n lines; a and b: what their sums so far, and the page's, are multiplied by. A
// page that a line does not see has a largest score of -inf and changes nothing.
KVP_INLINE void merge_weights(int n, float* largest, float* weight, const float* page_largest, const float* page_weight,
                              float* a, float* b) {
    for (int i = 0; i < n; i += L) {
        const int lanes = n - i < L ? n - i : (int)L;
        F32 m = load_first(largest + i, lanes), p = load_first(page_largest + i, lanes), top = max(m, p);
        F32 x = exp2(sub(m, top)), y = exp2(sub(p, top));
        F32 all = fma(load_first(page_weight + i, lanes), y, mul(load_first(weight + i, lanes), x));
        store_first(largest + i, top, lanes);
        store_first(weight + i, all, lanes);
        store_first(a + i, x, lanes);
        store_first(b + i, y, lanes);
    }
}

KVP_INLINE void merge_values(float* sums, float a, const float* page_sums, float b, int dim) {
    F32 x = set1(a), y = set1(b);
    for (int d = 0; d < dim; d += L) store(sums + d, fma(load(page_sums + d), y, mul(load(sums + d), x)));
}

// The mean; + 0 because a sum of zeros has either sign, by how many keys of weight 0 were added to it.
KVP_INLINE void finish_line(float weight, const float* sums, int dim, float* out) {
    F32 w = set1(weight);
    for (int d = 0; d < dim; d += L) store(out + d, add(div(load(sums + d), w), zero()));
}
