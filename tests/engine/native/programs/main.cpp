// Fuzz of the kernels: fuzz AREA ROUNDS SEED [INSTRUCTION SET...], all sets that run here by default. AREA: product,
// quantised, attention, decoder, frames, hostile, team, or all.
#include "check.h"

uint64_t round_seed;

namespace {

struct Area {
    const char* name;
    void (*run)(Random&);
} const areas[] = {
    {"product", fuzz_product}, {"quantised", fuzz_quantised}, {"attention", fuzz_attention},
    {"decoder", fuzz_decoder}, {"frames", fuzz_frames},       {"hostile", fuzz_hostile},
    {"team", fuzz_team},
};

void run_area(const Area& area, int rounds, uint64_t seed) {
    for (int i = 0; i < rounds; i++) {
        round_seed = seed + (uint64_t)i;
        Random r = {round_seed * 0x2545f4914f6cdd1du};
        area.run(r);
    }
    printf("%s %s: %d rounds\n", kvp_chosen(), area.name, rounds);
    fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 4) {
        printf("fuzz AREA ROUNDS SEED [INSTRUCTION SET...]\n");
        return 2;
    }
    char names[256];
    names[0] = 0;
    for (int i = 4; i < count; i++) strcat(strcat(names, arguments[i]), " ");
    if (count == 4) snprintf(names, sizeof names, "%s", kvp_instruction_sets());
    for (char* name = strtok(names, " "); name; name = strtok(nullptr, " ")) {
        if (kvp_choose(name)) {
            printf("%s: %s\n", name, kvp_last_error());
            return 2;
        }
        for (const Area& area : areas) {
            if (!strcmp(arguments[1], area.name) || !strcmp(arguments[1], "all")) {
                run_area(area, atoi(arguments[2]), strtoull(arguments[3], nullptr, 10));
            }
        }
    }
    return 0;
}
