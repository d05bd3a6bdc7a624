// Root-mean-square norm of one row (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
//
// The sum of squares runs in four chains of L lanes in a fixed order; a row's result depends on that row alone.
#pragma once

KVP_INLINE float sum_of_squares(const float* x, int n) {
    F32 s[4] = {zero(), zero(), zero(), zero()};
    int i = 0;
    for (; i + 4 * L <= n; i += 4 * L) {
        for (int j = 0; j < 4; j++) {
            F32 v = load(x + i + j * L);
            s[j] = fma(v, v, s[j]);
        }
    }
    for (; i < n; i += L) {
        F32 v = n - i < L ? load_first(x + i, n - i) : load(x + i);
        s[0] = fma(v, v, s[0]);
    }
    return sum(add(add(s[0], s[1]), add(s[2], s[3])));
}

// out = x / sqrt(mean(x^2) + eps) * weight; out may be x.
static inline void rms_norm(const float* x, const float* weight, float eps, int n, float* out) {
    F32 scale = set1(1.0f / __builtin_sqrtf(sum_of_squares(x, n) / (float)n + eps));
    int i = 0;
    for (; i + L <= n; i += L) store(out + i, mul(mul(load(x + i), scale), load(weight + i)));
    if (i < n) {
        store_first(out + i, mul(mul(load_first(x + i, n - i), scale), load_first(weight + i, n - i)), n - i);
    }
}
