#include "tests/runtime/transition/versioned_functions.h"

namespace mend::testing {

MEND_NATIVE(alpha) { return Opaque(argument + 1); }
MEND_NATIVE(alpha_2) { return Opaque(argument + 2); }
MEND_NATIVE(alpha_3) { return Opaque(argument + 3); }
MEND_NATIVE(beta) { return Opaque(argument + 10); }
MEND_NATIVE(beta_2) { return Opaque(argument + 20); }
MEND_NATIVE(beta_3) { return Opaque(argument + 30); }

NativeFunction Alpha() { return MEND_NATIVE_FUNCTION(alpha); }
NativeFunction Alpha2() { return MEND_NATIVE_FUNCTION(alpha_2); }
NativeFunction Alpha3() { return MEND_NATIVE_FUNCTION(alpha_3); }
NativeFunction Beta() { return MEND_NATIVE_FUNCTION(beta); }
NativeFunction Beta2() { return MEND_NATIVE_FUNCTION(beta_2); }
NativeFunction Beta3() { return MEND_NATIVE_FUNCTION(beta_3); }

}  // namespace mend::testing
