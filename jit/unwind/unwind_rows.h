// Tells the stack walker and the exception machinery where a linked graph's text is and which frame
// description entry covers what (UnwindTable).
#ifndef MEND_JIT_UNWIND_UNWIND_ROWS_H_
#define MEND_JIT_UNWIND_UNWIND_ROWS_H_

#include <string_view>
#include <vector>

#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "runtime/base/code_address.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend::jit {

// The text of one linked graph.
struct UnwindRows {
  struct Region {
    CodeRange text;
    std::vector<FdeEntry> entries;
    bool stubs = false;  // calls into libraries: CFA = rsp + 8 throughout
  };
  std::vector<Region> regions;

  // `patch`: the patch module that brought the text; empty for the program's own.
  void Register(std::string_view patch = {}) const;
  // The table has its own copy; enough is left to unregister.
  void ForgetEntries() {
    for (Region& region : regions) std::vector<FdeEntry>().swap(region.entries);
  }
  // REQUIRES: Register was called.
  void Unregister() const;
};

// Reads them off a graph whose relocations have been applied.
UnwindRows CollectUnwindRows(const llvm::jitlink::LinkGraph& graph);

}  // namespace mend::jit

#endif  // MEND_JIT_UNWIND_UNWIND_ROWS_H_
