// Vector types of any machine: plain C++ that a compiler may vectorise; L = 4 lanes.
#pragma once

#define KVP_PAIR_DOT 0
enum { L = 4, REGISTERS = 16 };
struct F32 { float x[L]; };
struct Words { uint32_t x[L]; };

#define KVP_LANES(i) for (int i = 0; i < L; i++)
KVP_INLINE F32 set1(float v) { F32 r; KVP_LANES(i) r.x[i] = v; return r; }
KVP_INLINE F32 zero() { return set1(0.0f); }
KVP_INLINE F32 load(const float* p) { F32 r; __builtin_memcpy(&r, p, sizeof r); return r; }
KVP_INLINE void store(float* p, F32 v) { __builtin_memcpy(p, &v, sizeof v); }
KVP_INLINE F32 load_first(const float* p, int n) { F32 r; KVP_LANES(i) r.x[i] = i < n ? p[i] : 0.0f; return r; }
KVP_INLINE void store_first(float* p, F32 v, int n) { for (int i = 0; i < n; i++) p[i] = v.x[i]; }
KVP_INLINE F32 add(F32 a, F32 b) { KVP_LANES(i) a.x[i] += b.x[i]; return a; }
KVP_INLINE F32 sub(F32 a, F32 b) { KVP_LANES(i) a.x[i] -= b.x[i]; return a; }
KVP_INLINE F32 mul(F32 a, F32 b) { KVP_LANES(i) a.x[i] *= b.x[i]; return a; }
KVP_INLINE F32 div(F32 a, F32 b) { KVP_LANES(i) a.x[i] /= b.x[i]; return a; }
KVP_INLINE F32 sqrt(F32 a) { KVP_LANES(i) a.x[i] = __builtin_sqrtf(a.x[i]); return a; }
KVP_INLINE F32 max(F32 a, F32 b) { KVP_LANES(i) a.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i]; return a; }
KVP_INLINE F32 min(F32 a, F32 b) { KVP_LANES(i) a.x[i] = a.x[i] < b.x[i] ? a.x[i] : b.x[i]; return a; }
KVP_INLINE F32 fma(F32 a, F32 b, F32 c) { return add(mul(a, b), c); }
KVP_INLINE F32 round_down(F32 v) { KVP_LANES(i) v.x[i] = __builtin_floorf(v.x[i]); return v; }
KVP_INLINE F32 scale_by_power(F32 v, F32 n) {
    KVP_LANES(i) {
        uint32_t bits = (uint32_t)((int)n.x[i] + 127) << 23;
        float power;
        __builtin_memcpy(&power, &bits, 4);
        v.x[i] *= power;
    }
    return v;
}
KVP_INLINE F32 keep_where_at_least(F32 v, F32 x, F32 y) {
    KVP_LANES(i) v.x[i] = x.x[i] >= y.x[i] ? v.x[i] : 0.0f;
    return v;
}
KVP_INLINE float sum(F32 v) { return (v.x[0] + v.x[2]) + (v.x[1] + v.x[3]); }
KVP_INLINE float largest(F32 v) {
    float a = v.x[0] > v.x[2] ? v.x[0] : v.x[2], b = v.x[1] > v.x[3] ? v.x[1] : v.x[3];
    return a > b ? a : b;
}

KVP_INLINE Words words(const void* p) { Words r; __builtin_memcpy(&r, p, sizeof r); return r; }
KVP_INLINE Words word1(uint32_t v) { Words r; KVP_LANES(i) r.x[i] = v; return r; }
KVP_INLINE void store_words(void* p, Words w) { __builtin_memcpy(p, &w, sizeof w); }
KVP_INLINE void store_words_first(void* p, Words w, int n) { __builtin_memcpy(p, &w, 4 * (size_t)n); }
KVP_INLINE F32 even(Words w) {
    F32 r;
    KVP_LANES(i) { uint32_t bits = w.x[i] << 16; __builtin_memcpy(&r.x[i], &bits, 4); }
    return r;
}
KVP_INLINE F32 odd(Words w) {
    F32 r;
    KVP_LANES(i) { uint32_t bits = w.x[i] & 0xffff0000u; __builtin_memcpy(&r.x[i], &bits, 4); }
    return r;
}
KVP_INLINE uint32_t rounded_bf16(float v) {
    uint32_t w;
    __builtin_memcpy(&w, &v, 4);
    return v != v ? (w | 0x400000u) >> 16 : (w + ((w >> 16) & 1) + 0x7fff) >> 16;
}
KVP_INLINE Words pair(F32 e, F32 o) {
    Words r;
    KVP_LANES(i) r.x[i] = rounded_bf16(e.x[i]) | rounded_bf16(o.x[i]) << 16;
    return r;
}

KVP_INLINE float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023u, bits;
    float r;
    if (exponent == 0) {
        r = (float)mantissa * 0x1p-24f;
        __builtin_memcpy(&bits, &r, 4);
        bits |= sign;
    } else {
        bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    }
    __builtin_memcpy(&r, &bits, 4);
    return r;
}
KVP_INLINE uint16_t float_to_half(float v) {
    uint32_t w;
    __builtin_memcpy(&w, &v, 4);
    uint32_t sign = w >> 16 & 0x8000, a = w & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000u) {  // denormal: the sum's last place is 2^-24
        float f;
        __builtin_memcpy(&f, &a, 4);
        f += 0.5f;
        __builtin_memcpy(&a, &f, 4);
        return (uint16_t)(sign | (a - 0x3f000000u));
    }
    return (uint16_t)(sign | (a + 0xc8000000u + 0xfff + (a >> 13 & 1)) >> 13);
}
KVP_INLINE F32 half(const uint16_t* p) { F32 r; KVP_LANES(i) r.x[i] = half_to_float(p[i]); return r; }
KVP_INLINE void store_half(uint16_t* p, F32 v) { KVP_LANES(i) p[i] = float_to_half(v.x[i]); }
#undef KVP_LANES
