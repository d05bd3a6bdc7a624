// A page's scores of one line to weights 2^(score - largest), their sum, and the largest score.
//
// Keys behind the line's own position weigh exactly 0 and do not count for the largest, whatever memory holds. Weights
// are summed lane by lane in key order, so that further keys of weight 0 change nothing. Where weights are rounded to
// bf16 (T::DOT) the sum is that of the rounded ones, a pair of keys to a lane: the result is a true mean of the values.
#pragma once

struct PageSum { float largest, weight; };

KVP_INLINE F32 lane_numbers() {
    alignas(64) float x[L];
    for (int i = 0; i < L; i++) x[i] = (float)i;
    return load(x);
}

// The scores of keys up to `last`; -inf for those behind it.
KVP_INLINE F32 visible_scores(const float* s, int n, int last, F32 lanes) {
    F32 number = add(set1((float)n), lanes), end = set1((float)last), none = set1(-__builtin_inff());
    return add(keep_where_at_least(load(s), end, number),
               keep_where_at_least(none, number, add(end, set1(1.0f))));
}

// s: `keys` scores; w: as many weights, bf16 when T::DOT, else float, perhaps in the place of s.
template <class T> static PageSum weigh(float* s, int keys, int last, void* w) {
    F32 most = load(s);
    if (last < keys - 1) {
        F32 lanes = lane_numbers();
        for (int n = last / L * L; n < keys; n += L) store(s + n, visible_scores(s + n, n, last, lanes));
        most = load(s);
    }
    for (int n = L; n < keys; n += L) most = max(most, load(s + n));
    PageSum r;
    r.largest = largest(most);
    F32 m = set1(r.largest), total = zero();
    for (int n = 0; n < keys; n += L) {
        F32 e = exp2(sub(load(s + n), m));
        if (T::DOT) {
            store_bf16((uint16_t*)w + n, e);
            continue;
        }
        store((float*)w + n, e);
        total = add(total, e);
    }
#if KVP_PAIR_DOT
    if (T::DOT) {
        if (keys % (2 * L)) store_bf16((uint16_t*)w + keys, zero());
        for (int n = 0; n < keys; n += 2 * L) total = dot(total, words((uint16_t*)w + n), word1(0x3f803f80));
    }
#endif
    r.weight = sum(total);
    return r;
}
