#include "calls.h"

namespace {
constexpr long kStep = 1;
}

long callee(long x) { return x + kStep; }
long Counter::next(long x) { return x + kStep; }
Counter* make_counter() { return new Counter; }
