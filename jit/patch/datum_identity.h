// DatumIdentity: what makes data of a patch's unit the ones that an earlier patch has brought,
// besides their name: initial contents, what these refer to, and a variable's type.
//
// For one graph before it is linked. Not thread-safe.
#ifndef MEND_JIT_PATCH_DATUM_IDENTITY_H_
#define MEND_JIT_PATCH_DATUM_IDENTITY_H_

#include <map>
#include <set>
#include <string>

#include "jit/patch/own_data.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

class DatumIdentity {
 public:
  // `types`: layouts of AddedType by name. All must outlive it.
  DatumIdentity(const llvm::jitlink::LinkGraph& graph, const OwnData::BlockNames& names,
                const std::set<std::string>& new_functions,
                const std::map<std::string, std::string>& types)
      : graph_(graph), names_(names), new_functions_(new_functions), types_(types) {}

  std::string OfDatum(const llvm::jitlink::Symbol& symbol) const;
  // Of a constant without a name, which is not looked behind.
  std::string OfBlock(const llvm::jitlink::Block& block) const { return Fingerprint(block, 0); }

 private:
  bool IsReplaceable(const llvm::jitlink::Symbol& function) const;
  std::string Fingerprint(const llvm::jitlink::Block& block, int depth) const;

  const llvm::jitlink::LinkGraph& graph_;
  const OwnData::BlockNames& names_;
  const std::set<std::string>& new_functions_;
  const std::map<std::string, std::string>& types_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_DATUM_IDENTITY_H_
