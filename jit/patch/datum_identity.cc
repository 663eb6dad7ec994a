#include "jit/patch/datum_identity.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/link/entry_stubs.h"
#include "jit/link/graph_editor.h"
#include "llvm/Support/BLAKE3.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::Symbol;

// References are followed this far.
constexpr int kDepth = 8;
// In front of a variable's mangled name, less its _Z.
constexpr char kGuardPrefix[] = "_ZGV";

std::string Hash(llvm::StringRef bytes) {
  llvm::BLAKE3 hasher;
  hasher.update(bytes);
  const auto result = hasher.final<16>();
  return std::string(reinterpret_cast<const char*>(result.data()), result.size());
}

}  // namespace

std::string DatumIdentity::OfDatum(const Symbol& symbol) const {
  std::string text = Fingerprint(symbol.getBlock(), kDepth);
  const std::string symbol_name(*symbol.getName());
  const std::string prefix = symbol_name.starts_with(kTlsImagePrefix) ? kTlsImagePrefix : "";
  const std::string name = symbol_name.substr(prefix.size());
  const auto type = types_.find(absl::StrCat(kVariableType, name));
  if (type != types_.end()) absl::StrAppend(&text, "|", type->second);
  if (!name.starts_with(kGuardPrefix)) return text;
  // Whether a variable has been initialised is said of that one alone.
  const std::string guarded = absl::StrCat(prefix, "_Z", name.substr(sizeof(kGuardPrefix) - 1));
  for (const Symbol* other : graph_.defined_symbols()) {
    if (!other->hasName() || View(*other->getName()) != guarded) continue;
    absl::StrAppend(&text, "|", OfDatum(*other));
    break;
  }
  return text;
}

// Later patches replace it where its address is kept, as data that leads to it keeps it.
bool DatumIdentity::IsReplaceable(const Symbol& function) const {
  const Block& block = function.getBlock();
  if (!IsExecutable(block.getSection()) || block.isZeroFill() ||
      block.getAlignment() < kEntryAlignment) {
    return false;
  }
  const CodeAddress entry{block.getAlignmentOffset() + function.getOffset()};
  return HasEntryStub(entry, function.getSize(), block.getContent().data() + function.getOffset());
}

// Content and references, those to unnamed constants by their content, and so those to new
// functions that are not replaced: equal fingerprints mean that one can stand for the other.
std::string DatumIdentity::Fingerprint(const Block& block, int depth) const {
  std::string text = absl::StrCat(block.getSize(), ",", block.getAlignment(), ",",
                                  IsConstant(block.getSection()) ? "r" : "w", ";");
  if (!block.isZeroFill()) {
    text.append(block.getContent().data(), block.getSize());
  }
  std::vector<std::string> references;
  for (const Edge& edge : block.edges()) {
    if (!edge.isRelocation()) continue;
    const Symbol& target = edge.getTarget();
    std::string reference =
        absl::StrCat(edge.getOffset(), ",", edge.getKind(), ",", edge.getAddend(), ",");
    if (!target.isDefined()) {
      absl::StrAppend(&reference, target.hasName() ? std::string(*target.getName()) : "");
    } else {
      const auto named = names_.find(&target.getBlock());
      absl::StrAppend(&reference, target.getOffset(), ",");
      const std::string name = named == names_.end() ? "" : std::string(*named->second->getName());
      const bool by_content =
          name.empty() || (new_functions_.contains(name) && !IsReplaceable(*named->second));
      absl::StrAppend(&reference, name);
      if (by_content && depth > 0) {
        absl::StrAppend(&reference, "=", Fingerprint(target.getBlock(), depth - 1));
      }
    }
    references.push_back(std::move(reference));
  }
  std::sort(references.begin(), references.end());
  absl::StrAppend(&text, absl::StrJoin(references, ";"));
  return Hash(text);
}

}  // namespace mend::jit
