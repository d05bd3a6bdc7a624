// Any processor, and the reference for the others.
#define KVP_ISA portable
#include "entry.inc"
