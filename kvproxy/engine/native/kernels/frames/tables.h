// An encoder's tables: counts of symbols made into frequencies whose sum is SCALE, and their bytes in the frame.
#pragma once

struct SymbolCode {
    uint64_t inverse;  // floor(x * inverse >> 43) is x / frequency for every x below 2^32
    uint32_t frequency, slot;
};

struct SymbolTable {
    uint32_t count[SYMBOLS];
    uint16_t frequency[SYMBOLS];
    SymbolCode code[SYMBOLS];
    int first, used;            // the symbols in the frame: `used` of them from `first` on, around the end; 0: none
};

inline double table_bits(const SymbolTable& t) {
    double total = 0, bits = 0;
    for (int s = 0; s < SYMBOLS; s++) {
        if (t.count[s] == 0) continue;
        total += t.count[s];
        bits += 9.0 - t.count[s] * log2((double)t.count[s]);
    }
    return total > 0 ? bits + total * log2(total) : 0.0;
}

// Every symbol that occurs has a frequency of at least 1 and below SCALE.
inline void find_frequencies(SymbolTable& t) {
    int64_t total = 0, sum = 0;
    int kinds = 0, most = 0;
    for (int s = 0; s < SYMBOLS; s++) {
        total += t.count[s];
        kinds += t.count[s] != 0;
        if (t.count[s] > t.count[most]) most = s;
    }
    memset(t.frequency, 0, sizeof t.frequency);
    t.used = 0;
    if (kinds == 0) return;
    if (kinds == 1) t.frequency[most ^ 1] = 1;
    for (int s = 0; s < SYMBOLS; s++) {
        if (t.count[s] == 0) continue;
        int64_t share = ((int64_t)t.count[s] * SCALE + total / 2) / total;
        t.frequency[s] = (uint16_t)(share < 1 ? 1 : share >= SCALE ? SCALE - 1 : share);
    }
    for (int s = 0; s < SYMBOLS; s++) sum += t.frequency[s];
    // What rounding left over goes to the most frequent one; what it took too much is taken back from the largest ones.
    if (sum < SCALE) t.frequency[most] = (uint16_t)(t.frequency[most] + SCALE - sum);
    for (int64_t over = sum - SCALE; over > 0;) {
        for (int s = 0; s < SYMBOLS; s++) {
            if (t.frequency[s] > t.frequency[most]) most = s;
        }
        int64_t step = 1 + t.frequency[most] / 16;
        step = step < over ? step : over;
        t.frequency[most] = (uint16_t)(t.frequency[most] - step);
        over -= step;
    }
    // The widest gap is left out: symbols lie around 0, from both ends.
    int gap = 0, longest = -1, run = 0;
    for (int i = 0; i < 2 * SYMBOLS; i++) {
        run = t.frequency[i % SYMBOLS] ? 0 : run + 1;
        if (run <= SYMBOLS && run > longest) {
            longest = run;
            gap = i % SYMBOLS;
        }
    }
    t.first = (gap + 1) % SYMBOLS;
    t.used = SYMBOLS - longest;
    for (int i = 0, slot = 0; i < t.used; i++) {
        int s = (t.first + i) % SYMBOLS, f = t.frequency[s];
        if (f) t.code[s] = {(((uint64_t)1 << 43) + (uint64_t)f - 1) / (uint64_t)f, (uint32_t)f, (uint32_t)slot};
        slot += f;
    }
}

inline int64_t table_bytes(const SymbolTable& t) {
    int64_t bytes = 4 + t.used;
    for (int i = 0; i < t.used; i++) bytes += t.frequency[(t.first + i) % SYMBOLS] >= 0x80;
    return bytes;
}

inline uint8_t* write_table(const SymbolTable& t, uint8_t* to) {
    const int head[2] = {t.used ? t.first : 0, t.used};
    for (int n : head) {
        *to++ = (uint8_t)n;
        *to++ = (uint8_t)(n >> 8);
    }
    for (int i = 0; i < t.used; i++) {
        int f = t.frequency[(t.first + i) % SYMBOLS];
        if (f >= 0x80) *to++ = (uint8_t)(0x80 | f >> 8);
        *to++ = (uint8_t)f;
    }
    return to;
}
