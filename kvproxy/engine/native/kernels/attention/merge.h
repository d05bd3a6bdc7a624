// A line's result over its pages so far, and the next page's added to it: online softmax, in page order.
//
// The first page starts it as it is. The bits are the same whether a page's sums come from the cache at once or from
// memory later. Merging in another order, or merged chunks of pages, would round otherwise: not done anywhere.
#pragma once

KVP_INLINE void merge_page(PageSum& all, float* sums, PageSum page, const float* page_sums, int dim) {
    F32 top = max(set1(all.largest), set1(page.largest));
    F32 a = exp2(sub(set1(all.largest), top)), b = exp2(sub(set1(page.largest), top));
    alignas(64) float x[2 * L];
    store(x, top);
    store(x + L, fma(set1(page.weight), b, mul(set1(all.weight), a)));
    all.largest = x[0];
    all.weight = x[L];
    for (int d = 0; d < dim; d += L) store(sums + d, fma(load(page_sums + d), b, mul(load(sums + d), a)));
}

// The mean; + 0 because a sum of zeros has either sign, by how many keys of weight 0 were added to it.
KVP_INLINE void finish_line(PageSum all, const float* sums, int dim, float* out) {
    F32 weight = set1(all.weight);
    for (int d = 0; d < dim; d += L) store(out + d, add(div(load(sums + d), weight), zero()));
}
