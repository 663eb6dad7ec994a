// LayoutSymbols: what linkers define for where an executable and its parts begin and end, for
// programs that ask (collectors of garbage, profilers, tests whether a pointer is to a constant).
//
//   __executable_start                        where the program's text begins
//   etext, _etext, __etext                    where it ends
//   data_start, __data_start                  where its variables begin
//   edata, _edata, __bss_start, end, _end     where they end: initialised ones and others lie mixed
//   __ehdr_start                              the header of the process's executable
//
// They are the program's own, as it was loaded: what patches and guest modules bring lies
// elsewhere, and cannot refer to them.
//
// Who calls it: the program loader. Thread safety: none.
#ifndef MEND_JIT_LINK_LAYOUT_SYMBOLS_H_
#define MEND_JIT_LINK_LAYOUT_SYMBOLS_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "jit/link/graph_editor.h"
#include "jit/link/link_batch.h"

namespace mend::jit {

class LayoutSymbols : public GraphEditor {
 public:
  static bool IsOne(std::string_view name);

  // Takes the place in front of what is loaded. REQUIRES: nothing of the load has memory.
  absl::Status Begin(CodeMemory& memory);
  // The addresses that are known before the link; nullopt: of the others, which the graph defines.
  std::optional<uintptr_t> ValueOf(std::string_view name) const;
  // A graph that defines them, to be linked as the last one. `like`: any of the load.
  static GraphPtr MakeGraph(llvm::jitlink::LinkGraph& like);
  Placement PlacementOf(const llvm::jitlink::Block& block) const override;
  llvm::Error AfterFixup(llvm::jitlink::LinkGraph& /*graph*/) override {
    return llvm::Error::success();
  }

 private:
  std::map<std::string, uintptr_t> addresses_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LAYOUT_SYMBOLS_H_
