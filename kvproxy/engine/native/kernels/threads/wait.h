// Waiting for a word to change: a bounded time of spinning, then sleep until it is woken.
#pragma once
#include <limits.h>
#include <stdint.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

// A time, not a count: a pause takes from 1 to 140 cycles by the CPU. Longer than most phases of a decode step leave a
// thread waiting (sleeping and waking cost some 5 to 50 us), far shorter than a scheduler's turn of some ms, so that a
// thread whose mate has lost its core gives up its own instead of burning its turn.
#ifndef KVP_SPIN_NANOSECONDS
#define KVP_SPIN_NANOSECONDS 50000
#endif

static inline int64_t kvp_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void kvp_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");  // yield is a no-op on most cores; isb waits some 10 ns and saves the bus
#endif
}

// Spins for a bounded time; true when the word has changed.
static inline bool kvp_spin_while_equal(const uint32_t* word, uint32_t seen) {
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen) return true;
            kvp_relax();
        }
        int64_t now = kvp_nanoseconds();
        if (end == 0) end = now + KVP_SPIN_NANOSECONDS;
        if (now >= end) return false;
    }
}

// Returns when the word may have changed; at once when it has.
static inline void kvp_sleep_while_equal(uint32_t* word, uint32_t seen) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
    (void)word, (void)seen;
    sched_yield();
#endif
}

static inline void kvp_wake_all(uint32_t* word) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
    (void)word;
#endif
}
