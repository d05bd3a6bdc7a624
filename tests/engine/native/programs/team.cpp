// The team: every item is run once, each phase sees all of the one before it, and regions of several callers, or of one
// inside another, do not meet. With own threads here, since libgomp is not instrumented.
#include "check.h"
#include <pthread.h>
#include "threads/team.h"
#include "threads/worker.h"

namespace {

struct Phases {
    int phases, items, inner;
    int* runs;    // [items]: how often each ran
    int* sums;    // [phases]: what the phase before had written, plain memory on purpose
    int* done;
};

void inside(kvp_team* team, int index, void* data) {
    Worker w = {team, index};
    share_out(w, 3, [&](int) { __atomic_add_fetch((int*)data, 1, __ATOMIC_RELAXED); });
}

void work(kvp_team* team, int index, void* data) {
    const Phases& p = *(const Phases*)data;
    Worker w = {team, index};
    for (int phase = 0; phase < p.phases; phase++) {
        share_out(w, p.items, [&](int i) {
            p.runs[i]++;
            if (p.inner && i == 0) {
                int count = 0;
                kvp_team_run(3, inside, &count);
                if (count != 3) __atomic_add_fetch(p.done, 1000, __ATOMIC_RELAXED);
            }
        });
        share_out(w, 1, [&](int) {
            int sum = 0;
            for (int i = 0; i < p.items; i++) sum += p.runs[i];
            p.sums[phase] = sum;
        });
    }
    __atomic_add_fetch(p.done, 1, __ATOMIC_RELAXED);
}

void run_once(int threads, int phases, int items, int inner) {
    Array<int> runs(items), sums(phases);
    int done = 0;
    memset(runs.p, 0, runs.bytes);
    Phases p = {phases, items, inner, runs.p, sums.p, &done};
    kvp_team_run(threads, work, &p);
    CHECK(done >= 1 && done <= threads, "%d members of %d ended", done, threads);
    for (int i = 0; i < phases; i++) CHECK(sums[i] == (i + 1) * items, "phase %d: %d items", i, sums[i]);
}

struct Caller {
    uint64_t seed;
    int inner;
};

void* call(void* data) {
    Caller c = *(Caller*)data;
    Random r = {c.seed};
    for (int i = 0; i < 8; i++) run_once(r.between(1, 5), r.between(1, 20), r.between(1, 30), c.inner);
    return nullptr;
}

}  // namespace

void fuzz_team(Random& r) {
    Caller callers[3];
    pthread_t threads[3];
    int count = r.between(1, 3);
    for (int i = 0; i < count; i++) {
        callers[i] = {r.next(), r.chance(3)};
        if (pthread_create(&threads[i], nullptr, call, &callers[i])) abort();
    }
    for (int i = 0; i < count; i++) pthread_join(threads[i], nullptr);
}
