// The team of threads: torch's own OpenMP threads, found by the caller; a second pool beside it costs a whole core.
#include <stddef.h>
#include <stdint.h>
#include "../kvproxy.h"
#include "team.h"
#if defined(__linux__)
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
Parallel gomp_parallel = nullptr;
int (*thread_number)(void) = nullptr;
int (*thread_count)(void) = nullptr;

const int SPINS = 4000;  // some 50 us: longer than a phase of a decode step, shorter than a turn of the scheduler

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void sleep_until_changed(uint32_t* word, uint32_t seen) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
    (void)word, (void)seen;
#endif
}

void wake_all(uint32_t* word) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
    (void)word;
#endif
}

struct Region {
    kvp_team team;
    void (*task)(kvp_team*, int, void*);
    void* data;
};

void run_member(void* region) {
    Region* r = (Region*)region;
    __atomic_store_n(&r->team.threads, thread_count(), __ATOMIC_RELAXED);
    r->task(&r->team, thread_number(), r->data);
}

}  // namespace

extern "C" void kvp_team_barrier(kvp_team* t) {
    int threads = __atomic_load_n(&t->threads, __ATOMIC_RELAXED);
    uint32_t phase = __atomic_load_n(&t->phase, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&t->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        t->arrived = 0;
        t->next = 0;
        __atomic_store_n(&t->phase, phase + 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST)) wake_all(&t->phase);
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (__atomic_load_n(&t->phase, __ATOMIC_ACQUIRE) != phase) return;
        relax();
    }
    __atomic_add_fetch(&t->sleeping, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&t->phase, __ATOMIC_SEQ_CST) == phase) sleep_until_changed(&t->phase, phase);
    __atomic_sub_fetch(&t->sleeping, 1, __ATOMIC_SEQ_CST);
}

extern "C" void kvp_team_run(int threads, void (*task)(kvp_team*, int, void*), void* data) {
    Region r = {{0, 0, 0, 0, 1}, task, data};
    if (threads < 2 || gomp_parallel == nullptr) {
        task(&r.team, 0, data);
        return;
    }
    gomp_parallel(run_member, &r, (unsigned)threads, 0);
}

// The functions GOMP_parallel, omp_get_thread_num and omp_get_num_threads of the OpenMP library that torch has loaded.
KVP_API void kvp_use_openmp(void* parallel, void* number, void* count) {
    thread_number = (int (*)(void))number;
    thread_count = (int (*)(void))count;
    gomp_parallel = (Parallel)parallel;
}
