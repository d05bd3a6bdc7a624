// Threads of our own, for a process without an OpenMP library.
#pragma once

// Runs member(number, count, data) on up to `threads` threads, the caller among them as number 0; returns when all have.
// One region at a time has the threads: another caller's, or one inside it, runs on its caller alone.
void kvp_own_team_run(int threads, void (*member)(int number, int count, void* data), void* data);
