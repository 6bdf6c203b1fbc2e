/* A histogram of nanoseconds with 32 buckets an octave (3 % wide): fixed memory, no allocation. */
#ifndef HIST_H
#define HIST_H
#include <stdint.h>
#include <string.h>

#define STEPS 32
#define SHIFT 5

struct hist {
    uint64_t bucket[64 * STEPS];
    uint64_t count, max;
};

static inline void record(struct hist *h, uint64_t ns) {
    int octave = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - SHIFT + 1;
    uint64_t step = octave ? (ns >> (octave - 1)) - STEPS : ns;
    h->bucket[octave * STEPS + step]++;
    h->count++;
    if (ns > h->max) h->max = ns;
}

/* The middle of the bucket that holds the quantile, in microseconds. */
static inline double quantile_us(const struct hist *h, double q) {
    uint64_t rank = (uint64_t)(q * h->count), seen = 0;
    for (int i = 0; i < 64 * STEPS; i++) {
        seen += h->bucket[i];
        if (seen <= rank) continue;
        int octave = i / STEPS, step = i % STEPS;
        if (!octave) return step / 1e3;
        double low = (double)(STEPS + step) * (1ull << (octave - 1));
        return (low + (1ull << (octave - 1)) / 2.0) / 1e3;
    }
    return h->max / 1e3;
}

#endif
