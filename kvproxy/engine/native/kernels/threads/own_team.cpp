// Threads of our own, for a process without an OpenMP library. They start at the first region that needs them, sleep
// between regions and end with the process.
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>
#include "own_team.h"
#include "wait.h"

namespace {

enum { MOST = 256 };

pthread_mutex_t one_region = PTHREAD_MUTEX_INITIALIZER;
int started = 0;      // threads besides the callers'; theirs are numbers 1 to started
pid_t owner = 0;      // a forked child has none of them
uint32_t turn = 0;    // changes when a region begins
uint32_t running = 0;  // members besides the caller that have not ended
// Written before `turn` by the region's caller, which waits for all threads, asked or not, before it writes them again.
int wanted;
void (*region_member)(int, int, void*);
void* region_data;

void* live(void* number_) {
    int number = (int)(intptr_t)number_ & 0xffff;
    uint32_t seen = (uint32_t)((intptr_t)number_ >> 16);
    for (;;) {
        while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == seen) {
            if (!kvp_spin_while_equal(&turn, seen)) kvp_sleep_while_equal(&turn, seen);
        }
        seen++;
        if (number < wanted) region_member(number, wanted, region_data);
        if (__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL) == 0) kvp_wake_all(&running);
    }
    return nullptr;
}

void start_up_to(int members) {
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (started < members) {
        pthread_t thread;
        intptr_t number = (intptr_t)((uint64_t)(turn & 0xffffffffu) << 16 | (uint64_t)(started + 1));
        if (pthread_create(&thread, &detached, live, (void*)number) != 0) break;
        started++;
    }
    pthread_attr_destroy(&detached);
}

}  // namespace

void kvp_own_team_run(int threads, void (*member)(int, int, void*), void* data) {
    if (pthread_mutex_trylock(&one_region) != 0) {
        member(0, 1, data);
        return;
    }
    if (owner == 0) owner = getpid();
    if (owner == getpid()) start_up_to((threads < MOST ? threads : MOST) - 1);
    wanted = owner != getpid() ? 1 : threads <= started + 1 ? threads : started + 1;
    if (wanted > 1) {
        region_member = member;
        region_data = data;
        __atomic_store_n(&running, (uint32_t)started, __ATOMIC_RELAXED);
        __atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
        kvp_wake_all(&turn);
    }
    member(0, wanted, data);
    while (wanted > 1) {
        uint32_t left = __atomic_load_n(&running, __ATOMIC_ACQUIRE);
        if (left == 0) break;
        if (!kvp_spin_while_equal(&running, left)) kvp_sleep_while_equal(&running, left);
    }
    pthread_mutex_unlock(&one_region);
}
