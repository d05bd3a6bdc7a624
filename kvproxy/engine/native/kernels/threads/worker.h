// One thread's way through the phases of a parallel region.
#pragma once

struct Worker {
    kvp_team* team;
    int index;  // 0 to team_size(team) - 1
};

// Threads of the region; every one of them stores the same number at its start.
static inline int team_size(const kvp_team* team) { return __atomic_load_n(&team->threads, __ATOMIC_RELAXED); }

// Runs f(i) for i in [0, items), each by whichever thread is free, and waits for all. Which thread computes an item must
// not matter to its bits. All threads of the team must call it with the same number of items.
template <class F>
static inline void share_out(const Worker& w, int items, F f) {
    for (;;) {
        int i = __atomic_fetch_add(&w.team->next, 1, __ATOMIC_RELAXED);
        if (i >= items) break;
        f(i);
    }
    kvp_team_barrier(w.team);
}
