// DebugCollector: what becomes of one object while it is linked (LinkedObject), read off its graph.
#ifndef MEND_JIT_DEBUG_DEBUG_COLLECTOR_H_
#define MEND_JIT_DEBUG_DEBUG_COLLECTOR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jit/debug/debug_object.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

class DebugCollector {
 public:
  // Remembers which block is which section of `object`, from whose bytes the graph has been built.
  // REQUIRES: nothing has been edited yet. `object` must outlive the collector's result.
  void ReadGraph(llvm::jitlink::LinkGraph& graph, std::string_view object);
  // A block that is not linked, since the running program has what is in it.
  void LiesElsewhere(const llvm::jitlink::Block& block, uintptr_t address);
  // REQUIRES: the graph is linked, its entry stubs are written. `find_datum`: where the running
  // program has the named datum of a section that was dropped; may be null.
  void ReadLinked(const llvm::jitlink::LinkGraph& graph,
                  const std::function<std::optional<uintptr_t>(const std::string&)>& find_datum);

  const LinkedObject& linked() const { return linked_; }

 private:
  struct Datum {
    std::string name;
    uint32_t section = 0;
    uint64_t offset = 0;
  };

  LinkedObject linked_;
  llvm::DenseMap<const llvm::jitlink::Block*, uint32_t> sections_;
  std::vector<Datum> data_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_DEBUG_DEBUG_COLLECTOR_H_
