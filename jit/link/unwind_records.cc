#include "jit/link/unwind_records.h"

#include <string.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jit/link/status_conversion.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {
namespace {

namespace x86_64 = llvm::jitlink::x86_64;
using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

// LSB, "Core generic", 10.6.1: length, then the distance to the common record, 0 in that itself;
// in a function's record then the function's address.
constexpr size_t kCommonAt = 4;
constexpr size_t kFunctionAt = 8;
constexpr uint32_t kWideLength = 0xffffffff;

uint32_t WordAt(const Block& block, size_t offset) {
  uint32_t word;
  memcpy(&word, block.getContent().data() + offset, sizeof(word));
  return word;
}

// Not the end mark, or what is too short to be a record.
bool IsRecord(const Block& block) {
  return !block.isZeroFill() && block.getSize() >= kFunctionAt && WordAt(block, 0) != 0;
}

llvm::Error Unreadable(const LinkGraph& graph, const char* what) {
  return ToError(absl::InvalidArgumentError(
      absl::StrCat(std::string(graph.getName()), ": an unwind record ", what)));
}

const Edge* FunctionEdge(const Block& record) {
  for (const Edge& edge : record.edges()) {
    if (edge.isRelocation() && edge.getOffset() == kFunctionAt) return &edge;
  }
  return nullptr;
}

}  // namespace

llvm::Error ConnectUnwindRecords(LinkGraph& graph) {
  Section* const section = graph.findSectionByName(kUnwindSection);
  if (section == nullptr) return llvm::Error::success();
  // The common ones by where their bytes lie: several sections of a file may have become this one.
  struct Common {
    Block* block;
    Symbol* symbol;
  };
  llvm::DenseMap<const char*, Common> common;
  std::vector<Block*> records;
  for (Block* const block : section->blocks()) {
    if (!IsRecord(*block)) continue;
    if (WordAt(*block, 0) == kWideLength) return Unreadable(graph, "is of the 64-bit format");
    if (WordAt(*block, kCommonAt) != 0) {
      records.push_back(block);
    } else {
      common[block->getContent().data()] = {block, nullptr};
    }
  }
  for (Block* const record : records) {
    const uint32_t distance = WordAt(*record, kCommonAt);
    const Edge* const function = FunctionEdge(*record);
    if (function == nullptr) return Unreadable(graph, "has no relocation for its function");
    const auto found = common.find(record->getContent().data() + kCommonAt - distance);
    if (found == common.end()) return Unreadable(graph, "refers to none that is common");
    auto& [block, symbol] = found->second;
    if (symbol == nullptr) symbol = &graph.addAnonymousSymbol(*block, 0, 0, false, false);
    Symbol& itself = graph.addAnonymousSymbol(*record, 0, record->getSize(), false, false);
    // A function that another graph provides has its record there.
    Symbol& described = function->getTarget();
    if (described.isDefined()) described.getBlock().addEdge(Edge::KeepAlive, 0, itself, 0);
    record->addEdge(x86_64::NegDelta32, kCommonAt, *symbol, 0);
  }
  return llvm::Error::success();
}

}  // namespace mend::jit
