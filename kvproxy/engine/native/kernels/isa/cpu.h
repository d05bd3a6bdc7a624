// What this processor and its system offer, in the names of the instruction sets.
#pragma once

// Whether the machine has all that isa/NAME.cpp is compiled with. For amx, the system is asked for its registers, which it
// gives to a process that asks.
bool kvp_cpu_has(const char* name);
