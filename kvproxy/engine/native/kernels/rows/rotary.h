// Rotary position embedding (Su et al., "RoFormer", 2021) of one head: components i and i + dim/2 turn together.
#pragma once

// A position's angles: cosines [dim/2], then sines [dim/2]. In float64 from the float32 angle that transformers computes,
// element by element, so that no bit depends on where an element stands.
static inline void rotary_angles(int position, const float* inverse_frequencies, double scaling, int dim, float* out) {
    int half_dim = dim / 2;
    for (int i = 0; i < half_dim; i++) {
        double angle = (double)((float)position * inverse_frequencies[i]);
        out[i] = (float)(__builtin_cos(angle) * scaling);
        out[half_dim + i] = (float)(__builtin_sin(angle) * scaling);
    }
}

// out = x turned by the angles, times factor; dim: a multiple of 2 * L or of 16 where L is 16 (the last lanes are masked).
static inline void turn(const float* x, const float* angles, int dim, float factor, float* out) {
    int half_dim = dim / 2;
    F32 f = set1(factor);
    for (int i = 0; i < half_dim; i += L) {
        int n = half_dim - i < L ? half_dim - i : L;
        F32 a = load_first(x + i, n), b = load_first(x + half_dim + i, n);
        F32 c = load_first(angles + i, n), s = load_first(angles + half_dim + i, n);
        store_first(out + i, mul(sub(mul(a, c), mul(b, s)), f), n);
        store_first(out + half_dim + i, mul(add(mul(b, c), mul(a, s)), f), n);
    }
}
