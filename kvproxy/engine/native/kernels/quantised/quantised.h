// Products of quantised weights: matrices whose dtype is QUANTISED. Included inside an instruction set's namespace, and in
// one of its own, since its blocks, panels and rows are others than the product's.
#pragma once

namespace quantised {
#include "formats.h"
#include "integers.h"
#include "blocks.h"
#include "rows.h"
#include "panels.h"
#include "product.h"
}  // namespace quantised
