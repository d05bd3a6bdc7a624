// cpuid is asked directly: __builtin_cpu_supports needs a runtime that not every compiler brings, and does not say
// whether the system saves a set's registers.
#include "cpu.h"
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

#if defined(__x86_64__)
struct Cpu {
    unsigned c1, b7, c7, d7, a71;  // cpuid 1 ecx; 7.0 ebx, ecx, edx; 7.1 eax
    uint64_t saved;                // XCR0: the registers that the system saves for a thread
};

Cpu read_cpu() {
    Cpu cpu = {0, 0, 0, 0, 0, 0};
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return cpu;
    cpu.c1 = c;
    if (c >> 27 & 1) {  // OSXSAVE: xgetbv may be used
        unsigned low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        cpu.saved = (uint64_t)high << 32 | low;
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return cpu;
    unsigned subleaves = a;
    cpu.b7 = b, cpu.c7 = c, cpu.d7 = d;
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.a71 = a;
    return cpu;
}

bool all(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

bool avx2(const Cpu& c) {  // FMA, AVX, F16C; AVX2; ymm
    return all(c.c1, 1u << 12 | 1u << 28 | 1u << 29) && all(c.b7, 1u << 5) && all(c.saved, 0x6);
}
bool avx512(const Cpu& c) {  // F, DQ, BW, VL; zmm and masks
    return avx2(c) && all(c.b7, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) && all(c.saved, 0xe6);
}
bool avx512bf16(const Cpu& c) {  // VNNI; AVX512_BF16
    return avx512(c) && all(c.c7, 1u << 11) && all(c.a71, 1u << 5);
}
bool amx(const Cpu& c) {  // AMX-BF16, AMX-TILE; tiles' settings and data, which Linux saves for who asked
    if (!avx512bf16(c) || !all(c.d7, 1u << 22 | 1u << 24) || !all(c.saved, 0x60000)) return false;
#if defined(__linux__)
    const int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

}  // namespace

bool kvp_cpu_has(const char* name) {
    if (!strcmp(name, "portable")) return true;
#if defined(__x86_64__)
    const Cpu cpu = read_cpu();
    if (!strcmp(name, "avx2")) return avx2(cpu);
    if (!strcmp(name, "avx512")) return avx512(cpu);
    if (!strcmp(name, "avx512bf16")) return avx512bf16(cpu);
#if defined(KVP_AMX_EMULATED)
    if (!strcmp(name, "amx")) return avx512bf16(cpu);  // see product/amx_tiles.h: tests alone
#endif
    if (!strcmp(name, "amx")) return amx(cpu);
#elif defined(__aarch64__)
    if (!strcmp(name, "neon")) return true;
#if defined(__linux__)
    if (!strcmp(name, "neonbf16")) {  // HWCAP2_BF16, HWCAP_ASIMDHP
        return (getauxval(AT_HWCAP2) >> 14 & 1) && (getauxval(AT_HWCAP) >> 10 & 1);
    }
#endif
#endif
    return false;
}
