// A team of threads inside one parallel region: a shared counter of work items, and a barrier with bounded spinning.
// Included inside the namespace of an instruction set and outside of any; the functions of team.cpp are C functions.
#pragma once

extern "C" {
struct kvp_team {
    alignas(64) int next;  // the next work item of the current phase
    alignas(64) int arrived;
    alignas(64) uint32_t phase;
    int sleeping;
    int threads;
};

// Waits until all threads of the team are here; work items are counted from 0 again afterwards.
void kvp_team_barrier(struct kvp_team* team);
// Runs task(team, thread's index, data) on `threads` threads, or on fewer when the system gives fewer; returns when all have.
void kvp_team_run(int threads, void (*task)(struct kvp_team*, int, void*), void* data);
}
