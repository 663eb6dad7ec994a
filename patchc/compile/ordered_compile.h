// Compiles units side by side, and hands what comes out over in the order that they were asked for:
// whoever takes the results cannot see how many there were at a time, nor which was done first.
//
// Called by PatchBuilder. Everything but the compiler runs in the calling thread.
#ifndef MEND_PATCHC_COMPILE_ORDERED_COMPILE_H_
#define MEND_PATCHC_COMPILE_ORDERED_COMPILE_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "patchc/compile/clang_runner.h"

namespace mend::patchc {

using Compiler = std::function<CompileResult(const CompileRequest&)>;

enum class AfterUnit { kContinue, kStop };

struct CompileOrder {
  size_t count = 0;
  // The request of a unit, when its turn has come: requests hold all of a unit's sources.
  std::function<absl::StatusOr<CompileRequest>(size_t)> prepare;
  // What became of it. Units behind one that stops are not asked for, or their results dropped.
  std::function<absl::StatusOr<AfterUnit>(size_t, CompileRequest, CompileResult)> take;
};

// Compiles with `jobs` units at a time. REQUIRES: jobs > 0; for more than one, calls of `compiler`
// may be in several threads. Ends with the first error, in the order of units.
absl::Status CompileInOrder(const CompileOrder& order, size_t jobs, const Compiler& compiler);

// As many as there are processors for this process, and memory for.
size_t DefaultCompileJobs();

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_ORDERED_COMPILE_H_
