// Functions of the program in versions that return distinct numbers, so that "which one ran" is one
// comparison.
#ifndef MEND_TESTS_RUNTIME_TRANSITION_VERSIONED_FUNCTIONS_H_
#define MEND_TESTS_RUNTIME_TRANSITION_VERSIONED_FUNCTIONS_H_

#include "tests/runtime/transition/core_fixture.h"

namespace mend::testing {

extern "C" int alpha(int argument);  // adds 1; its versions 2 and 3
extern "C" int beta(int argument);   // adds 10; its versions 20 and 30

NativeFunction Alpha();
NativeFunction Alpha2();
NativeFunction Alpha3();
NativeFunction Beta();
NativeFunction Beta2();
NativeFunction Beta3();

}  // namespace mend::testing

#endif  // MEND_TESTS_RUNTIME_TRANSITION_VERSIONED_FUNCTIONS_H_
