// SwiGLU of 16 components: silu(gate) * up (Shazeer, "GLU Variants Improve Transformer", 2020).
#pragma once

static inline void swiglu16(const float* gate, const float* up, float* out) {
    const F32 log2_e = set1(-1.44269504088896340736f), one = set1(1.0f), most = set1(126.0f);
    for (int i = 0; i < 16; i += L) {
        F32 g = load(gate + i);
        F32 silu = div(g, add(one, exp2(min(mul(g, log2_e), most))));
        store(out + i, mul(silu, load(up + i)));
    }
}
