// The team of threads: torch's own OpenMP threads, found by the caller; a second pool beside it costs a whole core.
//
// Each region has a state of its own on its caller's stack, so regions of several callers don't meet; the OpenMP library
// gives each calling thread a team of its own, and a region inside a region a team of one. Without an OpenMP library
// the threads of own_team.cpp serve.
#include <stddef.h>
#include <stdint.h>
#include "../kvproxy.h"
#include "own_team.h"
#include "team.h"
#include "wait.h"

namespace {

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
Parallel gomp_parallel = nullptr;
int (*thread_number)(void) = nullptr;
int (*thread_count)(void) = nullptr;

struct Region {
    kvp_team team;
    void (*task)(kvp_team*, int, void*);
    void* data;
};

// Fewer threads than were asked for may have come: then all members store the same number, each before it reads it.
void join_region(int number, int count, void* region) {
    Region* r = (Region*)region;
    if (__atomic_load_n(&r->team.threads, __ATOMIC_RELAXED) != count) {
        __atomic_store_n(&r->team.threads, count, __ATOMIC_RELAXED);
    }
    r->task(&r->team, number, r->data);
}

void run_member(void* region) { join_region(thread_number(), thread_count(), region); }

}  // namespace

// The last to arrive prepares the next phase and then changes `phase`, which nobody leaves before; all others have
// taken their last work item by then, so that nobody else touches `next` and `arrived`. Between `sleeping` and `phase`
// one of both sides sees the other's store (both sequentially consistent): no sleeper is forgotten.
extern "C" void kvp_team_barrier(kvp_team* t) {
    int threads = __atomic_load_n(&t->threads, __ATOMIC_RELAXED);
    uint32_t phase = __atomic_load_n(&t->phase, __ATOMIC_RELAXED);  // can't change before this thread has arrived
    if (__atomic_add_fetch(&t->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&t->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&t->next, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&t->phase, phase + 1, __ATOMIC_SEQ_CST);
        // The region ends only when all its threads have left it, so t outlives this look at it.
        if (__atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST)) kvp_wake_all(&t->phase);
        return;
    }
    if (kvp_spin_while_equal(&t->phase, phase)) return;
    __atomic_add_fetch(&t->sleeping, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&t->phase, __ATOMIC_SEQ_CST) == phase) kvp_sleep_while_equal(&t->phase, phase);
    __atomic_sub_fetch(&t->sleeping, 1, __ATOMIC_RELAXED);
}

extern "C" void kvp_team_run(int threads, void (*task)(kvp_team*, int, void*), void* data) {
    Region r = {{0, 0, 0, 0, threads < 1 ? 1 : threads}, task, data};
    if (threads < 2) {
        task(&r.team, 0, data);
    } else if (gomp_parallel) {
        gomp_parallel(run_member, &r, (unsigned)threads, 0);
    } else {
        kvp_own_team_run(threads, join_region, &r);
    }
}

// The functions GOMP_parallel, omp_get_thread_num and omp_get_num_threads of the OpenMP library that torch has loaded;
// without any of them the threads of own_team.cpp serve. Not while regions run.
KVP_API void kvp_use_openmp(void* parallel, void* number, void* count) {
    bool all = parallel && number && count;
    thread_number = (int (*)(void))number;
    thread_count = (int (*)(void))count;
    gomp_parallel = all ? (Parallel)parallel : nullptr;
}
