// PatchUnit's graph while it is linked: what is kept of the new object, what is bound to the
// running program or module, and what is read off the result. See PatchLinker for the rules.
#ifndef MEND_JIT_PATCH_PATCH_UNIT_H_
#define MEND_JIT_PATCH_PATCH_UNIT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "jit/debug/debug_collector.h"
#include "jit/link/graph_editor.h"
#include "jit/link/symbol_index.h"
#include "jit/patch/datum_identity.h"
#include "jit/patch/own_data.h"
#include "jit/patch/patch_descriptor.h"
#include "jit/patch/patched_object.h"
#include "jit/program/hosted_program.h"
#include "jit/unwind/unwind_rows.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace mend::jit {

// A function that the unit replaces: the object's, or one that an earlier patch has added.
struct Replacement {
  const HostedSymbol* old = nullptr;
  bool is_added = false;
  CodeAddress body;  // filled by the link
  CodeRange text;
};

class PatchUnitLink : public GraphEditor {
 public:
  // What the unit's object is to provide.
  struct Plan {
    uint32_t unit = 0;  // of the program or module
    std::string unit_name;
    std::map<std::string, Replacement> replaced;  // by symbol name
    std::set<std::string> new_functions;
    std::set<std::string> new_data;
    std::map<std::string, std::string> types;  // AddedType: layouts by name
    // Names that some unit of the patch newly defines for all of them.
    const std::set<std::string>* patch_globals = nullptr;
    // Where names are that the patch newly defines in the program, for units of guest modules.
    const std::map<std::string, uintptr_t>* program_globals = nullptr;
    // What it newly defines in guest modules that serve others.
    const std::map<std::string, ModuleGlobal>* module_globals = nullptr;
    // Functions of earlier patches that the units of this one replace, and that all may refer to.
    const std::map<std::string, const HostedSymbol*>* added_before = nullptr;
    // Of patch_globals, the functions whose address a unit takes that does not define them.
    std::set<std::string>* given_away = nullptr;
    // Units of other objects are linked later, and may take the address of any.
    bool serves_others = false;
    // Offsets of thread-locals that the patch adds: by name, after "UNIT|" those local to a unit.
    std::map<std::string, intptr_t>* thread_locals = nullptr;
  };

  // `object`: what the unit is of, whose `data` earlier patches have brought.
  PatchUnitLink(const HostedProgram* object, const PatchData* data, Plan plan)
      : object_(object), data_(data), tls_(object->tls), plan_(std::move(plan)) {}

  // Before anything is done to the graph. `object` must outlive the link.
  void Read(llvm::jitlink::LinkGraph& graph, std::string_view object);
  // Hides from ORC what other graphs must not see of the object.
  void LimitScope(llvm::jitlink::LinkGraph& graph) const;

  // Finds or takes a place in the pool for every thread-local that the unit adds. Before the link
  // of any unit of the patch: they refer to one another's. What is taken is given back by
  // ReleaseThreadLocals, if the link fails.
  absl::Status AssignThreadLocals(llvm::jitlink::LinkGraph& graph);
  void ReleaseThreadLocals();

  llvm::Error BeforePrune(llvm::jitlink::LinkGraph& graph) override;
  Placement PlacementOf(const llvm::jitlink::Block& block) const override;
  absl::StatusOr<uintptr_t> Allocate(CodeMemory& memory, MemoryKind kind, size_t size,
                                     size_t alignment) override;
  std::optional<uintptr_t> ReservedAddress(const llvm::jitlink::Block& block) const override;
  void TakeModulePages(const ModulePages& pages) override { pages_ = pages; }
  llvm::Error AfterFixup(llvm::jitlink::LinkGraph& graph) override;

  const Plan& plan() const { return plan_; }
  const ModulePages& pages() const { return pages_; }
  // Of the data that goes with the text: writable.
  const ModulePages& data_pages() const { return data_pages_; }
  // What the unit declares by <mend/livepatch.h>, and the tables of parameters.
  const PatchDeclarations& declared() const { return own_.declared(); }
  // Functions that the unit marks MEND_UNIT: new ones, and those that the mark is new of.
  const std::vector<FunctionSite>& unit_functions() const { return unit_functions_; }
  const std::vector<std::pair<uintptr_t, size_t>>& parameter_tables() const {
    return own_.parameter_tables();
  }
  const UnwindRows& rows() const { return rows_; }
  // What a debugger is to know. Empty when there is none.
  const LinkedObject& linked() const { return debug_.linked(); }
  // Text of new functions, for messages.
  const std::vector<std::pair<CodeRange, std::string>>& new_text() const { return new_text_; }
  // Whether data that stays leads to the module's text, or what runs may have the address of a
  // function in it: then it must stay too.
  bool is_pinned() const { return is_pinned_; }
  uint64_t data_bytes() const { return data_bytes_; }
  // New functions and data that other objects may refer to, and where they are.
  const std::map<std::string, uintptr_t>& exported() const { return exported_; }
  // Makes the data known that stays, and gives every thread what is its own of it.
  void Publish(PatchedObject& object) const;

 private:
  struct NewDatum {
    std::string key;
    llvm::jitlink::Symbol* symbol = nullptr;
    PatchData::Datum datum;
  };
  // A constant that no earlier patch brought, or a literal that the unit does not have either.
  struct NewConstant {
    std::string fingerprint;
    const llvm::jitlink::Block* block = nullptr;
    size_t offset = 0;
    uintptr_t address = 0;
  };

  // A thread-local that no earlier patch brought.
  struct NewThreadLocal {
    std::string key;
    intptr_t offset = 0;
    uint64_t size = 0;
  };

  // How PatchData calls a datum of the unit.
  std::string KeyOf(const llvm::jitlink::Symbol& symbol) const;
  std::optional<intptr_t> FindThreadOffset(const std::string& name) const;
  void NameBlocks();
  void ChooseRoots();
  absl::Status AllocateOwn();
  void FindUnitFunctions();
  void ReadUnitFunctions();
  void KeepDatum(llvm::jitlink::Symbol& symbol);
  void Keep(llvm::jitlink::Block& block, Placement placement);
  void BindEdges(llvm::jitlink::Block& block);
  void BindExternal(llvm::jitlink::Symbol& symbol);
  std::optional<uintptr_t> BindToNewGlobal(const std::string& name) const;
  std::optional<uintptr_t> BindToAddedBefore(const std::string& name) const;
  // Retargets an edge that leads to a defined symbol, or keeps what it leads to.
  void BindEdge(llvm::jitlink::Block& from, llvm::jitlink::Edge& edge);
  // Leads the address of a literal that is there to it: a program may have kept that address, to
  // know the literal by. False: it is no such thing.
  bool BindLiteral(const llvm::jitlink::Block& from, llvm::jitlink::Edge& edge);
  // Where the unit has the literal of that LiteralKey; nullopt when it has none.
  std::optional<uintptr_t> LiteralOfUnit(const std::string& key);
  // Where the block of that name lies in what runs; nullopt when it does not.
  std::optional<uintptr_t> RunningAddress(const std::string& name) const;
  void KeepUnnamed(llvm::jitlink::Block& block, llvm::jitlink::Edge& edge);
  void PointAt(llvm::jitlink::Edge& edge, uintptr_t block_address);
  // Whether it takes the address of a function that the patch adds: a program may keep that.
  bool GivesAway(const llvm::jitlink::Block& from, const llvm::jitlink::Edge& edge) const;
  void FindPins();
  // Of all units' FindPins: new functions of this one whose address another may take.
  void TakeGivenAway();
  absl::Status AllocateSlots();
  // So that later patches find the function, if its address may have been kept.
  void MakeReplaceable(llvm::jitlink::Symbol& symbol);
  void Export(const llvm::jitlink::Symbol& symbol);
  DatumIdentity Identity() const { return {*graph_, names_, plan_.new_functions, plan_.types}; }

  const HostedProgram* const object_;
  const PatchData* const data_;
  TlsPool* const tls_;
  Plan plan_;
  llvm::jitlink::LinkGraph* graph_ = nullptr;

  // While BeforePrune runs.
  OwnData::BlockNames names_;
  llvm::DenseMap<const llvm::jitlink::Block*, uintptr_t>
      bound_;  // data brought by an earlier patch
  llvm::DenseMap<uintptr_t, llvm::jitlink::Symbol*> absolutes_;
  std::vector<llvm::jitlink::Block*> worklist_;
  std::set<std::string> missing_;

  llvm::DenseMap<const llvm::jitlink::Block*, Placement> kept_;
  std::vector<std::pair<llvm::jitlink::Symbol*, Replacement*>> replaced_symbols_;
  std::vector<llvm::jitlink::Symbol*> new_function_symbols_;
  std::vector<NewDatum> new_data_;
  std::vector<std::pair<uintptr_t, std::string>> switches_;  // flags, and whose they are
  std::vector<NewConstant> new_constants_;
  std::optional<std::map<std::string, uintptr_t>> literals_;  // the unit's own, once asked for
  OwnData own_;                                               // linked afresh for every patch
  std::vector<const llvm::jitlink::Symbol*> own_symbols_;
  llvm::DenseMap<const llvm::jitlink::Block*, uintptr_t> reserved_;
  std::vector<NewThreadLocal> new_thread_locals_;
  ModulePages pages_;
  ModulePages data_pages_;
  std::set<std::string> marked_;  // names in the unit's table of MEND_UNIT functions
  std::vector<FunctionSite> unit_functions_;
  UnwindRows rows_;
  DebugCollector debug_;
  std::vector<std::pair<CodeRange, std::string>> new_text_;
  std::map<std::string, uintptr_t> exported_;
  std::set<std::string> given_away_;  // new functions whose address is taken
  uintptr_t* next_slot_ = nullptr;
  std::map<std::string, HostedSymbol> replaceable_;  // of them, by PatchData's key
  bool is_pinned_ = false;
  uint64_t data_bytes_ = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_PATCH_UNIT_H_
