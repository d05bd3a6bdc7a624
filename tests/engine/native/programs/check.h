// What the fuzz programs share: random numbers, memory whose ends are guarded, and comparisons that end the program.
//
// The kernels are called through the C interface alone, with every array in memory of exactly its size: under
// AddressSanitizer the bytes around it are poisoned, else canaries stand there.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <new>
#include "kvproxy.h"
#include "abi/decoder_abi.h"
#include "abi/attention_abi.h"

#if defined(__SANITIZE_ADDRESS__)
enum { GUARD = 0 };
#else
enum { GUARD = 64 };
#endif

#define CHECK(condition, ...)                                        \
    do {                                                             \
        if (!(condition)) {                                          \
            printf("FAILED %s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                     \
            printf(" [%s; seed %llu]\n", kvp_chosen(), (unsigned long long)round_seed); \
            exit(1);                                                 \
        }                                                            \
    } while (0)

extern uint64_t round_seed;  // begins the round in hand again: fuzz AREA 1 SEED

struct Random {
    uint64_t state;
    uint64_t next() {  // splitmix64
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
    int between(int low, int high) { return low + (int)(next() % (uint64_t)(high - low + 1)); }
    bool chance(int of) { return next() % (uint64_t)of == 0; }
    float uniform() { return (float)((double)(next() >> 11) * 0x1p-52 - 1.0); }  // [-1, 1)
};

// An array of exactly n elements, 64-byte aligned at its start, filled with bytes that are no sound value.
template <class T> struct Array {
    explicit Array(int64_t n) : n(n), bytes((size_t)n * sizeof(T)) {
        if (posix_memalign((void**)&memory, 64, bytes + 2 * GUARD)) abort();
        memset(memory, 0xa5, bytes + 2 * GUARD);
        p = (T*)(memory + GUARD);
    }
    Array(const Array&) = delete;
    ~Array() {
        for (size_t i = 0; i < GUARD; i++) {
            bool kept = (uint8_t)memory[i] == 0xa5 && (uint8_t)memory[GUARD + bytes + i] == 0xa5;
            CHECK(kept, "written %zu beside %zu bytes", i, bytes);
        }
        free(memory);
    }
    T& operator[](int64_t i) { return p[i]; }
    const T& operator[](int64_t i) const { return p[i]; }
    bool same(const Array& other) const { return n == other.n && memcmp(p, other.p, bytes) == 0; }
    int64_t n;
    size_t bytes;
    T* p;
    char* memory;
};

inline uint32_t bits_of(float x) { uint32_t w; memcpy(&w, &x, 4); return w; }
inline float float_of(uint32_t w) { float x; memcpy(&x, &w, 4); return x; }

inline uint16_t to_bf16(float x) {
    uint32_t w = bits_of(x);
    return (uint16_t)((w + 0x7fff + (w >> 16 & 1)) >> 16);
}

// Numbers of at most 8 significant bits between 2^-8 and 2: the same in bf16, float16 and float32.
inline float plain_value(Random& r) {
    float x = (float)r.between(-255, 255) / 128.0f;
    return x;
}

// A value of `dtype` at p[i]; x must be one of plain_value's.
inline void put(void* p, int64_t i, int dtype, float x) {
    if (dtype == KVP_F32) {
        ((float*)p)[i] = x;
    } else if (dtype == KVP_BF16) {
        ((uint16_t*)p)[i] = to_bf16(x);
    } else {
        uint32_t w = bits_of(x);
        int exponent = (int)(w >> 23 & 255) - 127;
        uint32_t sign = w >> 16 & 0x8000;
        ((uint16_t*)p)[i] = (uint16_t)(x == 0 ? sign : sign | (uint32_t)(exponent + 15) << 10 | (w >> 13 & 1023));
    }
}

inline float get(const void* p, int64_t i, int dtype) {
    if (dtype == KVP_F32) return ((const float*)p)[i];
    uint16_t h = ((const uint16_t*)p)[i];
    if (dtype == KVP_BF16) return float_of((uint32_t)h << 16);
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    float magnitude = exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : ldexpf((float)mantissa, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

inline int element(int dtype) { return dtype == KVP_F32 ? 4 : 2; }

inline void near(double got, double want, double most, const char* what, int64_t at) {
    CHECK(fabs(got - want) <= most, "%s %lld: %.9g is not %.9g within %.3g", what, (long long)at, got, want, most);
}

inline void called(int code) { CHECK(code == KVP_OK, "%s", kvp_last_error()); }

// One round of each; see the files of these names.
void fuzz_product(Random& r);
void fuzz_quantised(Random& r);
void fuzz_attention(Random& r);
void fuzz_decoder(Random& r);
void fuzz_frames(Random& r);
void fuzz_hostile(Random& r);
void fuzz_team(Random& r);
