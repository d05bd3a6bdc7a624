// The instruction set in use: the best that was built and that the machine has, or the one that was asked for.
#include "../abi/errors.h"
#include "cpu.h"
#include "kernels_table.h"
#include <string.h>

namespace {

// By name, so that it is needed only where its weak address is not null.
#define KVP_BUILT(isa) {#isa, &kvp_kernels_##isa}
struct Built {
    const char* name;
    const struct kvp_kernels* kernels;
} const built[] = {  // best first
    KVP_BUILT(amx),  KVP_BUILT(avx512bf16), KVP_BUILT(avx512),   KVP_BUILT(avx2),
    KVP_BUILT(neonbf16), KVP_BUILT(neon),   KVP_BUILT(portable),
};

const struct kvp_kernels* in_use = nullptr;

bool usable(const Built& one) { return one.kernels != nullptr && kvp_cpu_has(one.name); }

}  // namespace

const struct kvp_kernels* kvp_kernels_in_use(void) {
    const struct kvp_kernels* chosen = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);
    if (chosen != nullptr) return chosen;
    for (const Built& one : built) {
        if (!usable(one)) continue;
        __atomic_store_n(&in_use, one.kernels, __ATOMIC_RELEASE);
        return one.kernels;
    }
    return &kvp_kernels_portable;
}

KVP_API const char* kvp_instruction_sets(void) {
    static thread_local char names[128];
    names[0] = 0;
    for (const Built& one : built) {
        if (!usable(one)) continue;
        if (names[0]) strcat(names, " ");
        strcat(names, one.name);
    }
    return names;
}

KVP_API int kvp_choose(const char* name) {
    if (name == nullptr) return kvp_fail(KVP_BAD_ARGUMENT, "the name of an instruction set is missing");
    for (const Built& one : built) {
        if (strcmp(name, one.name) != 0) continue;
        if (one.kernels == nullptr) return kvp_fail(KVP_UNSUPPORTED, "%s was not built", name);
        if (!kvp_cpu_has(name)) return kvp_fail(KVP_UNSUPPORTED, "this processor does not have %s", name);
        __atomic_store_n(&in_use, one.kernels, __ATOMIC_RELEASE);
        return KVP_OK;
    }
    return kvp_fail(KVP_BAD_ARGUMENT, "no instruction set is called %.40s", name);
}

KVP_API const char* kvp_chosen(void) { return kvp_kernels_in_use()->name; }
