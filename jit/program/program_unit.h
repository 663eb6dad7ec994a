// ProgramUnit: one object of the program while it is linked: its graph's editor, and what is read
// off the linked graph.
#ifndef MEND_JIT_PROGRAM_PROGRAM_UNIT_H_
#define MEND_JIT_PROGRAM_PROGRAM_UNIT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "jit/debug/debug_collector.h"
#include "jit/link/graph_editor.h"
#include "jit/link/late_symbols.h"
#include "jit/link/symbol_index.h"
#include "jit/program/hosted_program.h"
#include "jit/unwind/unwind_rows.h"
#include "llvm/ADT/DenseMap.h"

namespace mend::jit {

// Thread safety: Build, CollectSymbols and what the link calls concern nobody but the unit; the
// rest is for one thread.
class ProgramUnit : public GraphEditor {
 public:
  ProgramUnit(HostedProgram* program, uint32_t number) : program_(program), number_(number) {}

  // Parses the object. `bytes` must outlive the link.
  absl::Status Build(const std::string& name, std::string_view bytes);

  llvm::jitlink::LinkGraph& graph() { return *graph_; }
  uint32_t number() const { return number_; }
  // What the object defines for others to see.
  const std::vector<llvm::jitlink::Symbol*>& shared_symbols() const { return shared_; }
  // Those of them that have a value instead of a place.
  const std::vector<std::pair<std::string, uint64_t>>& absolute_symbols() const {
    return absolutes_;
  }
  GraphPtr TakeGraph() { return std::move(graph_); }

  // Called when it is settled which definitions this unit provides: records its symbols and marks
  // what a native linker would keep.
  void CollectSymbols();
  // Gives this unit's thread-locals their offsets.
  absl::Status AssignThreadLocals();
  // Takes memory for the slots of its functions.
  absl::Status ReserveSlots();
  // Makes a symbol that only a guest module to come has one that is bound then.
  absl::Status BindLate(llvm::jitlink::Symbol& symbol) { return late_.Redirect(*graph_, symbol); }
  // Whether all that the unit does with the external symbol is to call it.
  bool IsOnlyCalled(const llvm::jitlink::Symbol& symbol) const;
  void Reserve(const llvm::jitlink::Block& block, uintptr_t address) {
    reserved_[&block] = address;
  }
  // After the link: makes everything known to the program.
  void Publish();

  Placement PlacementOf(const llvm::jitlink::Block& block) const override;
  absl::StatusOr<uintptr_t> Allocate(CodeMemory& memory, MemoryKind kind, size_t size,
                                     size_t alignment) override;
  std::optional<uintptr_t> ReservedAddress(const llvm::jitlink::Block& block) const override;
  llvm::Error AfterFixup(llvm::jitlink::LinkGraph& graph) override;

 private:
  struct ThreadLocal {
    llvm::jitlink::Symbol* image = nullptr;
    intptr_t offset = 0;
    uintptr_t address = 0;
    size_t size = 0;
  };
  struct Array {
    std::string section;
    uintptr_t begin = 0;
    size_t count = 0;
  };

  void MakeIndirect(llvm::jitlink::Symbol& function);
  // Of what has versions (.symver): the default one is what the plain name means.
  void NameVersions();
  // A function that goes to another stack: what calls it passes a few bytes that set its flag.
  void MakeNoted(llvm::jitlink::Symbol& function);
  void NoteSwitches(std::string_view object);
  void RecordSymbols();
  void MakeEntryStub(llvm::jitlink::Symbol& function, HostedSymbol& symbol);
  void RecordInitializers(llvm::jitlink::LinkGraph& graph);
  void RecordTextPointers();
  void RecordLiterals(llvm::jitlink::LinkGraph& graph);

  HostedProgram* const program_;
  const uint32_t number_;
  std::string rewritten_;  // the object, when it could not be linked as it is
  std::vector<std::pair<std::string, uint64_t>> absolutes_;
  DebugCollector debug_;  // used when somebody is to know
  GraphPtr graph_;
  std::vector<llvm::jitlink::Symbol*> shared_;
  std::vector<llvm::jitlink::Symbol*> named_;
  std::vector<ThreadLocal> thread_locals_;
  std::vector<llvm::jitlink::Symbol*> indirect_slots_;
  std::vector<std::pair<llvm::jitlink::Symbol*, std::string>> switch_flags_;  // and whose they are
  LateReferences late_;
  llvm::DenseMap<const llvm::jitlink::Block*, uintptr_t> reserved_;
  uintptr_t* next_slot_ = nullptr;
  llvm::DenseMap<uintptr_t, uintptr_t*> slots_;  // by entry: aliases share one

  std::vector<HostedSymbol> symbols_;
  UnwindRows rows_;
  std::vector<Array> arrays_;  // and the tables of <mend/livepatch.h>
  std::vector<uintptr_t*> resolved_slots_;
  std::vector<uintptr_t> text_pointers_;
  std::vector<LiteralSection> literals_;
  std::vector<LateWord> late_words_;
  std::vector<std::pair<uintptr_t, std::string>> switches_;
};

// The names of a table's beginning and end.
inline constexpr char kTableStart[] = "__start_";
inline constexpr char kTableStop[] = "__stop_";

// Whether a section is one of those whose beginning and end a program may name (__start_X).
bool IsTableSection(const llvm::jitlink::Section& section);
// What a unit of the object means by a name that it does not define and the object does: of tables
// each unit has its own names in the index. Null without one.
const HostedSymbol* FindForUnit(const HostedProgram& object, uint32_t unit, std::string_view name);

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_PROGRAM_UNIT_H_
