// SymbolIndex: every named function and datum of the hosted program, local ones included, with its
// unit (the object that defines it, by its position in link order); and the text of every version
// of a function, for messages.
//
// Patches are resolved against it, operators' names for functions too. JITLink itself keeps no
// local names, and no names at all once linked.
//
// Thread safety: the loader adds; afterwards lookups are const. AddVersion and RemoveVersion are
// serialised by the session. Describe may be called from any thread.
#ifndef MEND_JIT_LINK_SYMBOL_INDEX_H_
#define MEND_JIT_LINK_SYMBOL_INDEX_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"
#include "runtime/base/mutex.h"
#include "runtime/format/object_description.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

struct HostedSymbol {
  std::string name;
  uint32_t unit = 0;
  Binding binding = Binding::kGlobal;
  bool is_function = false;
  bool is_hidden = false;  // seen within its object only
  uintptr_t address = 0;
  uint64_t size = 0;
  uintptr_t* slot = nullptr;  // functions only; null: not patchable
  unsigned sympos = 1;        // among functions of that name, in link order
};

// `symbol` demangled, or as it is.
std::string Demangled(std::string_view symbol);

class SymbolIndex {
 public:
  // The object's name; empty: the program.
  void SetObject(std::string name) { object_ = std::move(name); }
  // "the program", or "module 'NAME'": for messages.
  std::string ShownObject() const;

  // The number of the next unit. `file` is the object's name for messages.
  uint32_t AddUnit(std::string file);
  uint32_t unit_count() const { return static_cast<uint32_t>(files_.size()); }
  const std::string& file(uint32_t unit) const { return files_[unit]; }

  // Adds symbols; lookups see them after Finish.
  void Add(std::vector<HostedSymbol> symbols);
  void Finish();
  // Forgets units from `unit_count` on, whose load failed before Add.
  void DropUnitsFrom(uint32_t unit_count) { files_.resize(unit_count); }

  // The program-wide definition of the name; null without one.
  const HostedSymbol* FindGlobal(std::string_view name) const;
  // The unit's own symbol of that name, local or not; null without one or when there are several.
  const HostedSymbol* FindInUnit(uint32_t unit, std::string_view name) const;
  // The function that begins there; null without one.
  const HostedSymbol* FindEntry(CodeAddress entry) const;
  // All functions of that name, in link order.
  std::vector<const HostedSymbol*> FunctionsNamed(std::string_view name) const;
  // All functions and data of that name, in link order.
  std::vector<const HostedSymbol*> SymbolsNamed(std::string_view name) const;
  // PatchLoader::FindFunction.
  absl::StatusOr<const HostedSymbol*> FindFunction(std::string_view request) const;
  std::vector<const HostedSymbol*> Functions() const;

  FunctionSite Site(const HostedSymbol& function) const;

  // A further version of a function, or a new one, linked by a patch.
  void AddVersion(CodeRange text, std::string name) ABSL_LOCKS_EXCLUDED(versions_mu_);
  void RemoveVersion(CodeRange text) ABSL_LOCKS_EXCLUDED(versions_mu_);
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(versions_mu_) { versions_mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(versions_mu_) { versions_mu_.Unlock(); }

  // The demangled name of the function whose text contains `pc`; empty if unknown.
  std::string Describe(CodeAddress pc) const { return Demangled(NameAt(pc)); }
  bool HasFunctionAt(CodeAddress pc) const { return !NameAt(pc).empty(); }

 private:
  using Order = std::vector<const HostedSymbol*>;
  struct Version {
    uintptr_t end = 0;
    std::string name;
  };

  std::string NameAt(CodeAddress pc) const ABSL_LOCKS_EXCLUDED(versions_mu_);
  // The symbols of that name, in link order.
  std::pair<Order::const_iterator, Order::const_iterator> Named(std::string_view name) const;
  std::vector<const HostedSymbol*> MatchDemangled(std::string_view name) const;

  std::string object_;
  std::vector<std::string> files_;
  std::deque<HostedSymbol> symbols_;
  Order by_name_;     // name, then unit
  Order by_address_;  // functions only
  mutable Mutex versions_mu_;
  std::map<uintptr_t, Version> versions_ ABSL_GUARDED_BY(versions_mu_);
};

// Of the symbols of that name the one at the position (rules I5); 0: there is to be one only.
// INVALID_ARGUMENT in the kernel's words; `object` is the object's name for that.
absl::StatusOr<const HostedSymbol*> SymbolAtPosition(const std::vector<const HostedSymbol*>& found,
                                                     const std::string& name, unsigned position,
                                                     const std::string& object);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_SYMBOL_INDEX_H_
