#include "jit/program/program_loader.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/link/layout_symbols.h"
#include "jit/link/parallel_for.h"
#include "jit/link/unwind_records.h"
#include "jit/program/program_unit.h"
#include "llvm/ADT/DenseMap.h"
#include "runtime/base/address_space.h"
#include "runtime/format/object_description.h"
#include "runtime/format/stand_ins.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Linkage;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Scope;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

constexpr std::string_view kGlobalOffsetTable = "_GLOBAL_OFFSET_TABLE_";

constexpr char kNoLayout[] = ": a place in the layout of an executable; guest modules have none";

std::string Name(const Symbol& symbol) { return std::string(*symbol.getName()); }

// Which of several definitions a native linker takes: a strong one, else the largest tentative one
// (common), else the first weak one.
enum class Strength { kWeak, kCommon, kStrong };

Strength StrengthOf(const Symbol& symbol) {
  if (symbol.getLinkage() == Linkage::Strong) return Strength::kStrong;
  return symbol.getSection().getName() == "__common" ? Strength::kCommon : Strength::kWeak;
}

// Beginnings (or ends) of the tables of one name; never empty.
using TablesByLink = std::map<uint32_t, uintptr_t>;

class Loader {
 public:
  Loader(HostedProgram& program, size_t threads) : program_(program), threads_(threads) {}

  absl::Status Run(const std::vector<ProgramObject>& objects);

 private:
  struct Definition {
    ProgramUnit* unit = nullptr;
    Symbol* symbol = nullptr;
    Strength strength = Strength::kWeak;
  };

  absl::Status Build(const std::vector<ProgramObject>& objects);
  absl::Status ChooseDefinitions();
  llvm::DenseMap<llvm::orc::SymbolStringPtr, Definition>::iterator Find(const std::string& name) {
    if (units_.empty()) return definitions_.end();
    return definitions_.find(units_.front()->graph().intern(name));
  }
  absl::Status CheckAllocators() const;
  void PassDetours();
  absl::Status UsePlaces();
  void ShareWithLibraries();
  absl::Status BeginLayout();
  absl::Status LayOutTables();
  absl::Status LayOutTable(uint32_t link, const std::string& name);
  uintptr_t TableOf(const ProgramUnit& unit, const TablesByLink& tables) const;
  void IndexTables();
  absl::Status BindExternals();
  // The value of a symbol that the program does not define; nullopt when nobody does.
  std::optional<uintptr_t> ValueOf(const ProgramUnit& unit, const std::string& name);
  absl::Status Link();

  HostedProgram& program_;
  const size_t threads_;
  std::vector<std::unique_ptr<ProgramUnit>> units_;
  llvm::DenseMap<llvm::orc::SymbolStringPtr, Definition> definitions_;
  std::unique_ptr<LayoutSymbols> layout_;                   // null: nobody asks, or there is none
  std::unordered_map<const ProgramUnit*, uint32_t> links_;  // ProgramObject's
  std::map<std::string, TablesByLink> tables_;              // __start_X and __stop_X
  std::unordered_map<std::string, uintptr_t> absolutes_;    // the program's own
  std::unordered_map<std::string, std::optional<uintptr_t>> host_;
};

absl::Status Loader::Build(const std::vector<ProgramObject>& objects) {
  for (const ProgramObject& object : objects) {
    const uint32_t number = program_.index.AddUnit(std::string(object.name));
    units_.push_back(std::make_unique<ProgramUnit>(&program_, number));
    links_[units_.back().get()] = object.link;
  }
  std::vector<absl::Status> built(units_.size());
  ParallelFor(threads_, units_.size(), [this, &objects, &built](size_t i) {
    built[i] = units_[i]->Build(std::string(objects[i].name), objects[i].bytes);
  });
  for (const absl::Status& status : built) {
    if (!status.ok()) return status;
  }
  for (const auto& unit : units_) {
    for (const auto& [name, value] : unit->absolute_symbols()) absolutes_.try_emplace(name, value);
  }
  return absl::OkStatus();
}

absl::Status Loader::ChooseDefinitions() {
  std::vector<std::string> duplicates;
  for (const auto& unit : units_) {
    for (Symbol* symbol : unit->shared_symbols()) {
      const std::string_view name = View(*symbol->getName());
      Definition candidate{unit.get(), symbol, StrengthOf(*symbol)};
      if (const HostedSymbol* earlier = program_.index.FindGlobal(name)) {
        // Loaded before: what runs stays.
        if (candidate.strength == Strength::kStrong && earlier->binding != Binding::kWeak) {
          duplicates.push_back(absl::StrCat(Name(*symbol), " (", program_.index.file(earlier->unit),
                                            " and ", program_.index.file(unit->number()), ")"));
        }
        unit->graph().makeExternal(*symbol);
        continue;
      }
      const auto [it, is_new] = definitions_.try_emplace(symbol->getName(), candidate);
      if (is_new) continue;
      Definition& chosen = it->second;
      if (candidate.strength == Strength::kStrong && chosen.strength == Strength::kStrong) {
        duplicates.push_back(absl::StrCat(Name(*symbol), " (",
                                          program_.index.file(chosen.unit->number()), " and ",
                                          program_.index.file(unit->number()), ")"));
        continue;
      }
      const bool larger = candidate.strength == Strength::kCommon &&
                          chosen.strength == Strength::kCommon &&
                          candidate.symbol->getSize() > chosen.symbol->getSize();
      if (candidate.strength > chosen.strength || larger) std::swap(chosen, candidate);
      candidate.unit->graph().makeExternal(*candidate.symbol);
    }
  }
  if (duplicates.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("duplicate symbol: ", absl::StrJoin(duplicates, ", ")));
}

absl::Status Loader::CheckAllocators() const {
  if (program_.may_allocate) return absl::OkStatus();
  for (const auto& [symbol_name, definition] : definitions_) {
    const std::string_view name = View(*symbol_name);
    if (!IsAllocationFunction(name) && !IsAllocationOperator(name)) continue;
    if (definition.symbol->getScope() != Scope::Default) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(program_.index.file(definition.unit->number()), " defines ", Demangled(name),
                     ": memory is allocated by the host and its libraries, which would not use it "
                     "(visibility(\"hidden\") keeps it to hosted code)"));
  }
  return absl::OkStatus();
}

// Data that a library defines too (inline variables, statics of inline functions, their guards)
// exist once in a process: natively the executable's copy serves both, here the library's does. A
// guest module shares the program's, or those of the modules that it sees. It comes last in the
// process, so its malloc is nobody's, not even its own.
void Loader::ShareWithLibraries() {
  for (auto at = definitions_.begin(); at != definitions_.end();) {
    const auto it = at++;
    const Definition& definition = it->second;
    const std::string_view name = View(*it->first);
    Symbol& symbol = *definition.symbol;
    // Virtual tables and type information stay the program's own: they lead to patchable functions,
    // and are compared by name.
    const bool shareable = definition.strength == Strength::kWeak &&
                           symbol.getScope() == Scope::Default && !symbol.isCallable() &&
                           !IsExecutable(symbol.getSection()) && !name.starts_with("_ZT") &&
                           !name.starts_with("__mend_");
    const bool is_last_malloc = program_.parent != nullptr && symbol.isCallable() &&
                                symbol.getScope() == Scope::Default &&
                                (IsAllocationFunction(name) || IsAllocationOperator(name));
    bool of_other =
        program_.parent != nullptr && program_.parent->index.FindGlobal(name) != nullptr;
    // A patch's own code would not keep the module.
    if (program_.parent != nullptr && !of_other && shareable && program_.version.empty()) {
      of_other = program_.parent->guests.FindFor(program_, name) != nullptr;
    }
    if (is_last_malloc ||
        (shareable && (of_other || program_.host.FindInLibraries(std::string(name))))) {
      definition.unit->graph().makeExternal(symbol);
      definitions_.erase(it);
    }
  }
}

absl::Status Loader::UsePlaces() {
  for (const auto& [name, place] : program_.places) {
    const auto found = Find(name);
    if (found == definitions_.end()) continue;
    Block& block = found->second.symbol->getBlock();
    const auto& [address, size] = place;
    if (block.getSize() != size || address % block.getAlignment() != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(Demangled(name),
                       ": a library refers to this variable, which has no section of its own in ",
                       program_.index.file(found->second.unit->number()), " (-fdata-sections)"));
    }
    found->second.unit->Reserve(block, address);
    // Constructors of libraries may have written to it. What has no bytes in the object stays as it
    // is.
    if (block.isZeroFill()) continue;
    const llvm::ArrayRef<char> now(reinterpret_cast<const char*>(address), size);
    if (now == block.getContent()) continue;
    if (block.edges_size() != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("a library has written to ", Demangled(name),
                       ", which holds addresses, before the program was there"));
    }
    block.setContent(found->second.unit->graph().allocateContent(now));
  }
  return absl::OkStatus();
}

// References to a function with a detour, in the unit that defines it; those of other units are
// external.
void Loader::PassDetours() {
  for (const auto& [name, address] : program_.detours) {
    const auto found = Find(name);
    if (found == definitions_.end() || !found->second.symbol->isCallable()) continue;
    LinkGraph& graph = found->second.unit->graph();
    Symbol& detour = graph.addAbsoluteSymbol(absl::StrCat("__mend_detour.", name),
                                             llvm::orc::ExecutorAddr(address), 0, Linkage::Strong,
                                             Scope::Local, /*IsLive=*/false);
    for (Block* block : graph.blocks()) {
      const std::string_view section = View(block->getSection().getName());
      // What describes the function means itself.
      if (!IsAllocated(block->getSection()) || section == kUnwindSection ||
          section == kUnitSection) {
        continue;
      }
      for (llvm::jitlink::Edge& edge : block->edges()) {
        if (&edge.getTarget() == found->second.symbol) edge.setTarget(detour);
      }
    }
  }
}

// The symbols of a program's layout, if a unit refers to one that no unit defines.
absl::Status Loader::BeginLayout() {
  if (program_.parent != nullptr || !program_.version.empty()) return absl::OkStatus();
  for (const auto& unit : units_) {
    for (const Symbol* symbol : unit->graph().external_symbols()) {
      if (!LayoutSymbols::IsOne(View(*symbol->getName())) ||
          definitions_.contains(symbol->getName())) {
        continue;
      }
      layout_ = std::make_unique<LayoutSymbols>();
      return layout_->Begin(*program_.memory);
    }
  }
  return absl::OkStatus();
}

absl::Status Loader::LayOutTables() {
  std::set<std::string> names;
  for (const auto& unit : units_) {
    for (const Symbol* symbol : unit->graph().external_symbols()) {
      const std::string_view name = View(*symbol->getName());
      for (const std::string_view prefix :
           {std::string_view(kTableStart), std::string_view(kTableStop)}) {
        if (name.starts_with(prefix)) names.emplace(name.substr(prefix.size()));
      }
    }
  }
  std::set<uint32_t> links;
  for (const auto& [unit, link] : links_) links.insert(link);
  for (const std::string& name : names) {
    for (const uint32_t link : links) {
      absl::Status laid_out = LayOutTable(link, name);
      if (!laid_out.ok()) return laid_out;
    }
  }
  return absl::OkStatus();
}

// Each link has a table of its own, as natively: the linker makes it, and keeps it hidden.
absl::Status Loader::LayOutTable(uint32_t link, const std::string& name) {
  struct Entry {
    ProgramUnit* unit;
    Block* block;
    uint64_t offset;
  };
  std::vector<Entry> entries;
  uint64_t size = 0;
  uint64_t alignment = 1;
  bool constant = true;
  bool text = false;
  for (const auto& unit : units_) {
    if (links_.at(unit.get()) != link) continue;
    Section* section = unit->graph().findSectionByName(name);
    if (section == nullptr || !IsTableSection(*section)) continue;
    std::vector<Block*> blocks(section->blocks().begin(), section->blocks().end());
    std::sort(blocks.begin(), blocks.end(), [](const Block* a, const Block* b) {
      return !a->isZeroFill() && !b->isZeroFill() &&
             a->getContent().data() < b->getContent().data();
    });
    for (Block* block : blocks) {
      size = llvm::jitlink::alignToBlock(size, *block);
      entries.push_back({unit.get(), block, size});
      size += block->getSize();
      alignment = std::max(alignment, block->getAlignment());
      constant = constant && IsConstant(*section);
      text = text || IsExecutable(*section);
    }
  }
  if (entries.empty()) return absl::OkStatus();
  const MemoryKind kind = text       ? MemoryKind::kText
                          : constant ? MemoryKind::kConstant
                                     : MemoryKind::kData;
  absl::StatusOr<uintptr_t> base = program_.Allocate(kind, size, alignment);
  if (!base.ok()) return base.status();
  for (const Entry& entry : entries) entry.unit->Reserve(*entry.block, *base + entry.offset);
  tables_[absl::StrCat(kTableStart, name)][link] = *base;
  tables_[absl::StrCat(kTableStop, name)][link] = *base + size;
  return absl::OkStatus();
}

// Of the tables of one name that of the unit's own link, else the first one in the dynamic linker's
// order.
uintptr_t Loader::TableOf(const ProgramUnit& unit, const TablesByLink& tables) const {
  const auto own = tables.find(links_.at(&unit));
  return own != tables.end() ? own->second : tables.begin()->second;
}

// For patches, whose code has the names, too.
void Loader::IndexTables() {
  std::vector<HostedSymbol> symbols;
  for (const auto& unit : units_) {
    for (const auto& [name, by_link] : tables_) {
      symbols.push_back({.name = name,
                         .unit = unit->number(),
                         .binding = Binding::kLocal,
                         .address = TableOf(*unit, by_link)});
    }
  }
  program_.index.Add(std::move(symbols));
}

std::optional<uintptr_t> Loader::ValueOf(const ProgramUnit& unit, const std::string& name) {
  if (name.starts_with(kTlsOffsetPrefix)) {
    const auto offset =
        FindThreadLocal(program_, unit.number(), name.substr(sizeof(kTlsOffsetPrefix) - 1));
    if (!offset) return std::nullopt;
    return static_cast<uintptr_t>(*offset);
  }
  if (const auto table = tables_.find(name); table != tables_.end()) {
    return TableOf(unit, table->second);
  }
  const auto [it, is_new] = host_.try_emplace(name);
  if (is_new) it->second = program_.host.Find(name);
  return it->second;
}

absl::Status Loader::BindExternals() {
  std::vector<std::string> missing;
  for (const auto& unit : units_) {
    LinkGraph& graph = unit->graph();
    const std::vector<Symbol*> externals(graph.external_symbols().begin(),
                                         graph.external_symbols().end());
    for (Symbol* symbol : externals) {
      if (definitions_.contains(symbol->getName())) {
        if (program_.detours.empty()) continue;
        const auto detour = program_.detours.find(View(*symbol->getName()));
        if (detour == program_.detours.end()) continue;
        graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(detour->second));
        continue;
      }
      const std::string name = Name(*symbol);
      if (name == kGlobalOffsetTable) continue;
      if (const auto it = absolutes_.find(name); it != absolutes_.end()) {
        graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(it->second));
        continue;
      }
      if (const HostedSymbol* earlier = FindGlobalFor(program_, name)) {
        graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(ReferenceAddress(program_, *earlier)));
        continue;
      }
      if (layout_ != nullptr && LayoutSymbols::IsOne(name)) {
        // What is known after the link only stays external.
        if (const auto value = layout_->ValueOf(name)) {
          graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(*value));
        }
        continue;
      }
      // Only patches have what comes later.
      if (!program_.version.empty() && IsLateSymbol(name)) {
        if (absl::Status bound = unit->BindLate(*symbol); !bound.ok()) return bound;
        continue;
      }
      const std::optional<uintptr_t> value =
          BindToGlobalModule(program_, name, ValueOf(*unit, name));
      const bool thread_local_offset = name.starts_with(kTlsOffsetPrefix);
      if (value || (symbol->isWeaklyReferenced() && !thread_local_offset)) {
        graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(value.value_or(0)));
        continue;
      }
      if (program_.lazy != nullptr && !thread_local_offset && unit->IsOnlyCalled(*symbol)) {
        const absl::StatusOr<uintptr_t> stub = program_.lazy->Stub(program_, name);
        if (!stub.ok()) return stub.status();
        graph.makeAbsolute(*symbol, llvm::orc::ExecutorAddr(*stub));
        continue;
      }
      missing.push_back(
          thread_local_offset
              ? absl::StrCat("thread-local ", name.substr(sizeof(kTlsOffsetPrefix) - 1),
                             " (used by ", program_.index.file(unit->number()), ")")
              : absl::StrCat(Demangled(name), " (used by ", program_.index.file(unit->number()),
                             ")", LayoutSymbols::IsOne(name) ? kNoLayout : ""));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("undefined symbol: ", absl::StrJoin(missing, ", ")));
}

absl::Status Loader::Link() {
  std::vector<LinkJob> jobs;
  GraphPtr end_of_layout;
  if (layout_ != nullptr) end_of_layout = LayoutSymbols::MakeGraph(units_.front()->graph());
  for (const auto& unit : units_) jobs.push_back({unit->TakeGraph(), unit.get()});
  if (layout_ != nullptr) jobs.push_back({std::move(end_of_layout), layout_.get()});
  absl::Status linked = program_.engine->Link(std::move(jobs), threads_);
  if (!linked.ok()) return linked;
  return program_.Seal();
}

absl::Status Loader::Run(const std::vector<ProgramObject>& objects) {
  absl::Status status = Build(objects);
  if (status.ok()) status = ChooseDefinitions();
  if (status.ok()) status = CheckAllocators();
  if (!status.ok()) return status;
  ShareWithLibraries();
  PassDetours();
  if (status = UsePlaces(); !status.ok()) return status;
  ParallelFor(threads_, units_.size(), [this](size_t i) { units_[i]->CollectSymbols(); });
  for (const auto& unit : units_) {
    status = unit->AssignThreadLocals();
    if (status.ok()) status = unit->ReserveSlots();
    if (!status.ok()) return status;
  }
  status = BeginLayout();
  if (status.ok()) status = LayOutTables();
  if (status.ok()) status = BindExternals();
  if (status.ok()) status = Link();
  if (!status.ok()) return status;
  for (const auto& unit : units_) unit->Publish();
  IndexTables();
  for (const ProgramObject& object : objects) program_.objects.push_back(object.bytes);
  program_.index.Finish();
  return absl::OkStatus();
}

// Guest modules are loaded by programs that run, whose threads are their own business.
size_t ThreadsFor(const HostedProgram& program, const std::vector<ProgramObject>& objects) {
  // A thread costs as much as a few functions.
  constexpr size_t kBytesWorthAThread = size_t{256} << 10;
  if (program.parent != nullptr) return 1;
  size_t bytes = 0;
  for (const ProgramObject& object : objects) bytes += object.bytes.size();
  const size_t threads = std::clamp<size_t>(bytes / kBytesWorthAThread, 1, UsableProcessors());
  return threads == 1 || CheckAddressSpace(threads * kRequestAddressSpace, "").ok() ? threads : 1;
}

}  // namespace

absl::Status LoadObjects(HostedProgram& program, const std::vector<ProgramObject>& objects) {
  const CodeMemory::Mark mark = program.memory->Position();
  const uint32_t units = program.index.unit_count();
  const size_t thread_local_count = program.tls_ranges.size();
  const ThreadLocalTable thread_locals = program.thread_locals;
  const LinkEngine::LoadScope load(program.engine);
  absl::Status status = Loader(program, ThreadsFor(program, objects)).Run(objects);
  if (status.ok()) return status;
  if (program.arena == nullptr) program.memory->Rollback(mark);
  program.index.DropUnitsFrom(units);
  while (program.tls_ranges.size() > thread_local_count) {
    program.tls->Release(program.tls_ranges.back().first, program.tls_ranges.back().second);
    program.tls_ranges.pop_back();
  }
  program.thread_locals = thread_locals;
  return status;
}

}  // namespace mend::jit
