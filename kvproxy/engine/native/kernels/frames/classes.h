// Sorting of channels into classes, each coded by tables of its own: k-means by code length.
#pragma once

enum { ROUNDS = 3, SPREADS = 512 };

// Bits of each bin's code in each class, from the counts of the class's channels.
inline void code_lengths(const Encoding& e, float* lengths) {
    for (int i = 0; i < CLASSES * BINS; i++) lengths[i] = 0.02f;
    for (int c = 0; c < e.channels; c++) {
        float* to = lengths + e.kind[c] * BINS;
        const float* from = e.bins + (int64_t)c * BINS;
        for (int i = 0; i < BINS; i++) to[i] += from[i];
    }
    for (int t = 0; t < 2 * CLASSES; t++) {
        float *table = lengths + t * (BINS / 2), total = 0;
        for (int i = 0; i < BINS / 2; i++) total += table[i];
        for (int i = 0; i < BINS / 2; i++) table[i] = log2f(total / table[i]);
    }
}

// Begins with quarters by the channels' own entropies.
inline void begin_classes(Encoding& e) {
    float logarithm[PAGE + 1] = {0};
    for (int n = 2; n <= PAGE; n++) logarithm[n] = (float)n * log2f((float)n);
    int spread[SPREADS] = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (int c = 0; c < e.channels; c++) {
            float bits = logarithm[e.shape.positions];
            for (int i = 0; i < BINS; i++) bits -= logarithm[(int)e.bins[(int64_t)c * BINS + i]];
            int s = (int)(bits / (float)e.shape.positions * 64.0f);
            s = s < 0 ? 0 : s >= SPREADS ? SPREADS - 1 : s;
            if (pass == 0) spread[s]++;
            else e.kind[c] = (uint8_t)((int64_t)(spread[s] - 1) * CLASSES / e.channels);
        }
        for (int s = 1; pass == 0 && s < SPREADS; s++) spread[s] += spread[s - 1];
    }
}

inline void find_classes(Encoding& e) {
    float lengths[CLASSES * BINS];
    begin_classes(e);
    for (int round = 0; round < ROUNDS; round++) {
        code_lengths(e, lengths);
        for (int c = 0; c < e.channels; c++) {
            const float* count = e.bins + (int64_t)c * BINS;
            float least = 0;
            for (int k = 0; k < CLASSES; k++) {
                float lanes[16] = {0};
                for (int i = 0; i < BINS; i += 16) {
                    for (int j = 0; j < 16; j++) lanes[j] += count[i + j] * lengths[k * BINS + i + j];
                }
                float bits = 0;
                for (int j = 0; j < 16; j++) bits += lanes[j];
                if (k == 0 || bits < least) {
                    least = bits;
                    e.kind[c] = (uint8_t)k;
                }
            }
        }
    }
}
