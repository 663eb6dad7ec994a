#include "jit/link/late_symbols.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "jit/link/graph_editor.h"
#include "llvm/ADT/BitmaskEnum.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;
namespace x86_64 = llvm::jitlink::x86_64;
LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

constexpr std::string_view kPrefix = ".klp.sym.";
constexpr char kWords[] = "$mend.late";
constexpr size_t kWordSize = sizeof(uintptr_t);

// A word for the symbol, and (made when it is asked for) a stub that jumps to what the word says.
class WordMaker {
 public:
  WordMaker(LinkGraph& graph, Symbol& symbol) : graph_(graph), symbol_(symbol) {}

  Symbol& Word() {
    if (word_ != nullptr) return *word_;
    Section& words =
        SectionNamed(graph_, kWords, llvm::orc::MemProt::Read | llvm::orc::MemProt::Write);
    Block& block =
        graph_.createMutableContentBlock(words, kWordSize, llvm::orc::ExecutorAddr(), kWordSize, 0);
    block.addEdge(x86_64::Pointer64, 0, symbol_, 0);
    word_ = &graph_.addAnonymousSymbol(block, 0, kWordSize, false, false);
    return *word_;
  }

  Symbol& Stub() {
    if (stub_ != nullptr) return *stub_;
    stub_ = &graph_.addAnonymousSymbol(MakeJumpStub(graph_, Word()), 0, kJumpStubSize, true, false);
    return *stub_;
  }

 private:
  LinkGraph& graph_;
  Symbol& symbol_;
  Symbol* word_ = nullptr;
  Symbol* stub_ = nullptr;
};

// False when the reference cannot pass a word.
bool RedirectEdge(const Block& from, Edge& edge, WordMaker& maker) {
  switch (edge.getKind()) {
    case x86_64::BranchPCRel32:
      edge.setTarget(maker.Stub());
      return true;
    case x86_64::RequestGOTAndTransformToPCRel32GOTLoadRelaxable:
    case x86_64::RequestGOTAndTransformToPCRel32GOTLoadREXRelaxable:
      // A plain load: JITLink would turn a relaxable one into the address itself.
      edge.setKind(x86_64::PCRel32);
      edge.setTarget(maker.Word());
      return true;
    case x86_64::RequestGOTAndTransformToDelta32:
      edge.setKind(x86_64::Delta32);
      edge.setTarget(maker.Word());
      return true;
    case x86_64::Pointer64:
      // The place is the word.
      return !IsExecutable(from.getSection());
    default:
      return false;
  }
}

}  // namespace

bool IsLateSymbol(std::string_view name) { return name.starts_with(kPrefix); }

absl::StatusOr<LateSymbol> ParseLateSymbol(std::string_view name) {
  std::string_view rest = name.substr(std::min(name.size(), kPrefix.size()));
  const size_t dot = rest.find('.');
  const size_t comma = rest.rfind(',');
  LateSymbol late;
  if (IsLateSymbol(name) && dot != std::string_view::npos && comma != std::string_view::npos &&
      dot < comma) {
    late.object = std::string(rest.substr(0, dot));
    late.symbol = std::string(rest.substr(dot + 1, comma - dot - 1));
    const std::string position(rest.substr(comma + 1));
    if (!late.object.empty() && !late.symbol.empty() &&
        absl::SimpleAtoi(position, &late.position)) {
      return late;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("EINVAL: '", std::string(name),
                                                 "' is no symbol of an object "
                                                 "(.klp.sym.OBJECT.SYMBOL,POSITION)"));
}

absl::Status LateReferences::Redirect(LinkGraph& graph, Symbol& symbol) {
  const std::string name(*symbol.getName());
  // What is left of it: the value that words have as long as nothing is there.
  graph.makeAbsolute(symbol, llvm::orc::ExecutorAddr(0));
  WordMaker maker(graph, symbol);
  const std::vector<Block*> blocks(graph.blocks().begin(), graph.blocks().end());
  for (Block* const block : blocks) {
    for (Edge& edge : block->edges()) {
      if (!edge.isRelocation() || &edge.getTarget() != &symbol) continue;
      if (RedirectEdge(*block, edge, maker)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("a reference to ", name,
                       " cannot be bound when its object comes; compile it with -fPIC"));
    }
  }
  symbols_.push_back(&symbol);
  return absl::OkStatus();
}

bool LateReferences::IsLate(const Symbol& symbol) const {
  return std::find(symbols_.begin(), symbols_.end(), &symbol) != symbols_.end();
}

bool LateReferences::HasWord(const Block& block) const {
  if (symbols_.empty()) return false;
  return std::any_of(block.edges().begin(), block.edges().end(), [this](const Edge& edge) {
    return edge.isRelocation() && IsLate(edge.getTarget());
  });
}

std::vector<LateWord> LateReferences::Words(const LinkGraph& graph) const {
  std::vector<LateWord> words;
  if (symbols_.empty()) return words;
  for (const Block* const block : graph.blocks()) {
    for (const Edge& edge : block->edges()) {
      if (!edge.isRelocation() || !IsLate(edge.getTarget())) continue;
      words.push_back({std::string(*edge.getTarget().getName()),
                       block->getAddress().getValue() + edge.getOffset(), edge.getAddend()});
    }
  }
  return words;
}

}  // namespace mend::jit
