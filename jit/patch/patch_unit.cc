#include "jit/patch/patch_unit.h"

#include <string.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/link/entry_stubs.h"
#include "jit/link/status_conversion.h"
#include "jit/link/unwind_records.h"
#include "jit/program/program_unit.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"
#include "runtime/format/object_description.h"
#include "runtime/format/stack_switch_names.h"
#include "runtime/safepoint/stack_switches.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Scope;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;
namespace x86_64 = llvm::jitlink::x86_64;

// A 32-bit displacement counts from the byte behind it.
constexpr int64_t kDisplacementSize = 4;
constexpr size_t kPage = 4096;

// Whether the edge leads to the very beginning of the function at `offset` of its block: a call, or
// an address taken; and not to a label inside (a switch table, a cold part's jump back).
bool LeadsToEntry(const Block& from, const Edge& edge, uint64_t offset) {
  const Section& section = from.getSection();
  if (!edge.isRelocation() || IsUnwindSection(section)) return false;
  int64_t target = static_cast<int64_t>(edge.getTarget().getOffset()) + edge.getAddend();
  if (edge.getKind() == x86_64::Delta32 || edge.getKind() == x86_64::Delta64) {
    // Relative to itself: in data, an element of a switch table.
    if (!IsExecutable(section)) return false;
    target += kDisplacementSize;
  }
  return target == static_cast<int64_t>(offset);
}

}  // namespace

void PatchUnitLink::Read(LinkGraph& graph, std::string_view object) {
  if (object_->debug != nullptr) debug_.ReadGraph(graph, object);
}

void PatchUnitLink::LimitScope(LinkGraph& graph) const {
  for (Symbol* symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || symbol->getScope() == Scope::Local) continue;
    const std::string name(*symbol->getName());
    const bool is_new = plan_.new_functions.contains(name) || plan_.new_data.contains(name);
    if (!is_new) symbol->setScope(Scope::Local);
  }
}

llvm::Error PatchUnitLink::BeforePrune(LinkGraph& graph) {
  graph_ = &graph;
  for (Symbol* symbol : graph.defined_symbols()) symbol->setLive(false);
  NameBlocks();
  FindUnitFunctions();
  const std::vector<std::string> faults = own_.Find(graph, names_, plan_.new_data);
  ChooseRoots();
  while (!worklist_.empty()) {
    Block* block = worklist_.back();
    worklist_.pop_back();
    BindEdges(*block);
  }
  if (!faults.empty()) {
    return ToError(absl::FailedPreconditionError(
        absl::StrCat(plan_.unit_name, ": ", absl::StrJoin(faults, "; "))));
  }
  if (!missing_.empty()) {
    return ToError(absl::FailedPreconditionError(
        absl::StrCat("MEND-E0140: ", plan_.unit_name, ": undefined in the program",
                     object_->parent == nullptr ? "" : ", in the module",
                     " and in the patch: ", absl::StrJoin(missing_, ", "))));
  }
  FindPins();
  return ToError(AllocateOwn());
}

// The table itself is not taken: it lists functions of the unit that are the program's.
void PatchUnitLink::FindUnitFunctions() {
  Section* const table = graph_->findSectionByName(kUnitSection);
  if (table == nullptr) return;
  for (const Block* block : table->blocks()) {
    for (const Edge& edge : block->edges()) {
      const Symbol& target = edge.getTarget();
      if (!edge.isRelocation() || !target.isDefined()) continue;
      const auto named = names_.find(&target.getBlock());
      if (named != names_.end()) marked_.emplace(*named->second->getName());
    }
  }
}

void PatchUnitLink::ReadUnitFunctions() {
  for (const Symbol* symbol : new_function_symbols_) {
    const std::string name(*symbol->getName());
    if (marked_.erase(name) == 0) continue;
    FunctionSite site;
    site.unit = plan_.unit_name;
    site.name = name;
    site.entry = CodeAddress{symbol->getAddress().getValue()};
    site.size = symbol->getSize();
    unit_functions_.push_back(std::move(site));
  }
  for (const std::string& name : marked_) {
    const HostedSymbol* running = object_->index.FindInUnit(plan_.unit, name);
    if (running == nullptr) running = object_->index.FindGlobal(name);
    if (running == nullptr || !running->is_function) continue;
    unit_functions_.push_back(object_->index.Site(*running));
  }
}

absl::Status PatchUnitLink::AllocateSlots() {
  if (given_away_.empty()) return absl::OkStatus();
  const absl::StatusOr<uintptr_t> slots =
      Allocate(*object_->memory, MemoryKind::kData, given_away_.size() * sizeof(uintptr_t),
               sizeof(uintptr_t));
  if (!slots.ok()) return slots.status();
  next_slot_ = reinterpret_cast<uintptr_t*>(*slots);
  return absl::OkStatus();
}

void PatchUnitLink::MakeReplaceable(Symbol& symbol) {
  const std::string name(*symbol.getName());
  if (next_slot_ == nullptr || !given_away_.contains(name)) return;
  const CodeAddress entry{symbol.getAddress().getValue()};
  char* bytes = symbol.getBlock().getAlreadyMutableContent().data() + symbol.getOffset();
  if (!HasEntryStub(entry, symbol.getSize(), bytes)) return;
  HostedSymbol function;
  function.name = name;
  function.unit = plan_.unit;
  function.binding = symbol.getScope() == Scope::Local ? Binding::kLocal : Binding::kGlobal;
  function.is_function = true;
  function.address = entry.value;
  function.size = symbol.getSize();
  function.slot = next_slot_++;
  function.sympos = static_cast<unsigned>(object_->index.FunctionsNamed(name).size()) + 1;
  *function.slot = (entry + kEntryStubSize).value;
  std::copy_n(reinterpret_cast<const char*>(&kClosedEntry), sizeof(kClosedEntry), bytes);
  replaceable_[KeyOf(symbol)] = std::move(function);
}

absl::Status PatchUnitLink::AllocateOwn() {
  std::vector<const Block*> blocks;
  for (Block* block : graph_->blocks()) {
    if (own_.Contains(*block) && kept_.contains(block)) blocks.push_back(block);
  }
  uint64_t size = 0;
  for (const Block* block : blocks) {
    if (block->getAlignment() > kPage) {
      return absl::InvalidArgumentError("an alignment of more than a page in a patch");
    }
    size = llvm::jitlink::alignToBlock(size, *block);
    reserved_[block] = size;
    size += block->getSize();
  }
  absl::StatusOr<ModulePages> pages = object_->memory->AllocateModule(0, size);
  if (!pages.ok()) return pages.status();
  data_pages_ = *pages;
  for (const Block* block : blocks) reserved_[block] += data_pages_.rest;
  return absl::OkStatus();
}

std::optional<uintptr_t> PatchUnitLink::ReservedAddress(const Block& block) const {
  const auto found = reserved_.find(&block);
  if (found == reserved_.end()) return std::nullopt;
  return found->second;
}

void PatchUnitLink::NameBlocks() {
  for (Symbol* symbol : graph_->defined_symbols()) {
    const Section& section = symbol->getSection();
    if (!IsAllocated(section) || IsUnwindSection(section) || !HasSourceName(*symbol)) continue;
    if (IsSharedByConstants(section)) continue;
    Symbol*& named = names_[&symbol->getBlock()];
    // The first symbol of the block; of several at one place one that the unit has in what runs,
    // since another unit may have taken the others' place, or that others can see, by name.
    const auto key = [this](const Symbol& s) {
      const std::string_view name = View(*s.getName());
      return std::make_tuple(s.getOffset(), object_->index.FindInUnit(plan_.unit, name) == nullptr,
                             s.getScope() == Scope::Local, name);
    };
    if (named == nullptr || key(*symbol) < key(*named)) named = symbol;
  }
}

void PatchUnitLink::ChooseRoots() {
  std::vector<Symbol*> data;
  for (Symbol* symbol : graph_->defined_symbols()) {
    if (!HasSourceName(*symbol) || !IsAllocated(symbol->getSection())) continue;
    const std::string name(*symbol->getName());
    if (const auto it = plan_.replaced.find(name); it != plan_.replaced.end()) {
      replaced_symbols_.emplace_back(symbol, &it->second);
      Keep(symbol->getBlock(), Placement::kModuleText);
    } else if (plan_.new_functions.contains(name)) {
      new_function_symbols_.push_back(symbol);
      Keep(symbol->getBlock(), Placement::kModuleText);
    } else if (plan_.new_data.contains(name)) {
      data.push_back(symbol);
    } else {
      continue;
    }
    symbol->setLive(true);
  }
  for (const auto& [name, replacement] : plan_.replaced) {
    const bool found =
        std::any_of(replaced_symbols_.begin(), replaced_symbols_.end(),
                    [&r = replacement](const auto& pair) { return pair.second == &r; });
    if (!found) missing_.insert(absl::StrCat("the new version of ", Demangled(name)));
  }
  for (Symbol* symbol : data) KeepDatum(*symbol);
}

std::string PatchUnitLink::KeyOf(const Symbol& symbol) const {
  const std::string name(*symbol.getName());
  return symbol.getScope() == Scope::Local ? absl::StrCat(plan_.unit_name, "|", name) : name;
}

absl::Status PatchUnitLink::AssignThreadLocals(LinkGraph& graph) {
  graph_ = &graph;
  NameBlocks();
  for (Symbol* symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || !View(*symbol->getName()).starts_with(kTlsImagePrefix)) continue;
    const std::string name(*symbol->getName());
    if (!plan_.new_data.contains(name)) continue;
    const std::string key = KeyOf(*symbol);
    const Block& block = symbol->getBlock();
    const auto* known = data_->Find(key, block.getSize(), Identity().OfDatum(*symbol));
    if (known != nullptr && known->thread_offset) {
      (*plan_.thread_locals)[key] = *known->thread_offset;
      continue;
    }
    absl::StatusOr<intptr_t> offset = tls_->Assign(block.getSize(), block.getAlignment());
    if (!offset.ok()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          plan_.unit_name, ": thread-local ", Demangled(name.substr(sizeof(kTlsImagePrefix) - 1)),
          ": ", offset.status().message()));
    }
    new_thread_locals_.push_back({key, *offset, block.getSize()});
    (*plan_.thread_locals)[key] = *offset;
  }
  return absl::OkStatus();
}

void PatchUnitLink::ReleaseThreadLocals() {
  for (const NewThreadLocal& local : new_thread_locals_) tls_->Release(local.offset, local.size);
  new_thread_locals_.clear();
}

// The patch's own first: a new static of a unit hides a global of the program.
std::optional<intptr_t> PatchUnitLink::FindThreadOffset(const std::string& name) const {
  const std::string image = absl::StrCat(kTlsImagePrefix, name);
  for (const std::string& key : {absl::StrCat(plan_.unit_name, "|", image), image}) {
    if (const auto it = plan_.thread_locals->find(key); it != plan_.thread_locals->end()) {
      return it->second;
    }
  }
  return FindThreadLocal(*object_, plan_.unit, name);
}

void PatchUnitLink::KeepDatum(Symbol& symbol) {
  Block& block = symbol.getBlock();
  if (own_.Contains(block)) {
    own_symbols_.push_back(&symbol);
    return Keep(block, Placement::kData);
  }
  const bool local = symbol.getScope() == Scope::Local;
  const std::string key = KeyOf(symbol);
  const std::string fingerprint = Identity().OfDatum(symbol);
  if (const auto* datum = data_->Find(key, block.getSize(), fingerprint)) {
    bound_[&block] = datum->address - symbol.getOffset();
    debug_.LiesElsewhere(block, bound_[&block]);
    symbol.setLive(false);
    // Other units of the patch ask for it by name.
    if (!local) graph_->makeAbsolute(symbol, llvm::orc::ExecutorAddr(datum->address));
    Export(symbol);
    return;
  }
  NewDatum datum{key, &symbol, {0, block.getSize(), fingerprint, std::nullopt}};
  if (const auto it = plan_.thread_locals->find(key); it != plan_.thread_locals->end()) {
    datum.datum.thread_offset = it->second;
  }
  new_data_.push_back(std::move(datum));
  Keep(block, IsConstant(block.getSection()) ? Placement::kConstant : Placement::kData);
}

void PatchUnitLink::Keep(Block& block, Placement placement) {
  if (kept_.try_emplace(&block, placement).second) worklist_.push_back(&block);
}

void PatchUnitLink::BindEdges(Block& block) {
  for (Edge& edge : block.edges()) {
    Symbol& target = edge.getTarget();
    if (target.isExternal()) {
      BindExternal(target);
    } else if (target.isDefined()) {
      BindEdge(block, edge);
    }
  }
}

void PatchUnitLink::BindExternal(Symbol& symbol) {
  const std::string name(*symbol.getName());
  if (name == "_GLOBAL_OFFSET_TABLE_" || plan_.patch_globals->contains(name)) return;
  std::optional<uintptr_t> value;
  const bool thread_local_offset = name.starts_with(kTlsOffsetPrefix);
  if (thread_local_offset) {
    const auto offset = FindThreadOffset(name.substr(sizeof(kTlsOffsetPrefix) - 1));
    if (offset) value = static_cast<uintptr_t>(*offset);
  } else if (const HostedSymbol* own = FindForUnit(*object_, plan_.unit, name)) {
    value = ReferenceAddress(*object_, *own);
  } else if (const auto added = plan_.program_globals->find(name);
             added != plan_.program_globals->end()) {
    value = added->second;
  } else if (const HostedSymbol* running = FindGlobalFor(*object_, name)) {
    value = ReferenceAddress(*object_, *running);
  } else {
    value = BindToAddedBefore(name);
    if (!value) value = BindToGlobalModule(*object_, name, object_->host.Find(name));
    if (!value) value = BindToNewGlobal(name);
    // What the module itself had to leave for later.
    if (!value && object_->lazy != nullptr) value = object_->lazy->Find(name);
  }
  if (!value && (thread_local_offset || !symbol.isWeaklyReferenced())) {
    missing_.insert(Demangled(name));
    return;
  }
  graph_->makeAbsolute(symbol, llvm::orc::ExecutorAddr(value.value_or(0)));
}

std::optional<uintptr_t> PatchUnitLink::BindToAddedBefore(const std::string& name) const {
  const auto added = plan_.added_before->find(name);
  if (added == plan_.added_before->end()) return std::nullopt;
  return added->second->address;
}

std::optional<uintptr_t> PatchUnitLink::BindToNewGlobal(const std::string& name) const {
  const auto added = plan_.module_globals->find(name);
  if (added == plan_.module_globals->end()) return std::nullopt;
  if (!object_->parent->guests.BindModule(added->second.module)) return std::nullopt;
  return added->second.address;
}

void PatchUnitLink::BindEdge(Block& from, Edge& edge) {
  if (BindLiteral(from, edge)) return;
  Block& target = edge.getTarget().getBlock();
  if (const auto it = bound_.find(&target); it != bound_.end()) return PointAt(edge, it->second);
  const auto named = names_.find(&target);
  if (IsUnwindSection(target.getSection())) return Keep(target, Placement::kModuleRest);
  if (named == names_.end()) return KeepUnnamed(target, edge);

  // Of several names each may be something else in what runs: another unit's, or one that is gone.
  const Symbol& meant = edge.getTarget();
  const bool is_name = HasSourceName(meant) && meant.getOffset() == named->second->getOffset();
  const Symbol& symbol = is_name ? meant : *named->second;
  const std::string name(*symbol.getName());
  if (kept_.contains(&target)) {
    if (!LeadsToEntry(from, edge, symbol.getOffset())) return;
    // A function is where it always was: &f is one address, and a call finds the newest version.
    if (const auto it = plan_.replaced.find(name); it != plan_.replaced.end()) {
      return PointAt(edge, ReferenceAddress(*object_, *it->second.old) - symbol.getOffset());
    }
    if (&symbol == named->second || !IsExecutable(target.getSection())) return;
    const std::optional<uintptr_t> other = RunningAddress(name);
    return other ? PointAt(edge, *other - symbol.getOffset()) : void();
  }
  // A cold part belongs to its function's version.
  if (name.find(".cold") != std::string::npos && IsExecutable(target.getSection())) {
    return Keep(target, Placement::kModuleText);
  }
  if (const std::optional<uintptr_t> running = RunningAddress(name)) {
    return PointAt(edge, *running - symbol.getOffset());
  }
  // The compiler's indirect reference to a personality routine or a type: a constant like others.
  if (name.starts_with("DW.ref.")) return Keep(target, Placement::kModuleRest);
  missing_.insert(Demangled(name));
}

std::optional<uintptr_t> PatchUnitLink::LiteralOfUnit(const std::string& key) {
  if (!literals_) {
    const auto sections = object_->literals.find(plan_.unit);
    literals_.emplace();
    if (sections != object_->literals.end()) literals_ = LiteralsOf(sections->second);
  }
  const auto found = literals_->find(key);
  return found == literals_->end() ? std::nullopt : std::optional<uintptr_t>(found->second);
}

bool PatchUnitLink::BindLiteral(const Block& from, Edge& edge) {
  const Block& target = edge.getTarget().getBlock();
  const std::string_view section = View(target.getSection().getName());
  const size_t width = LiteralWidth(section);
  if (width == 0 || target.isZeroFill() || !TakesAddress(from, edge)) return false;
  const std::string_view bytes(target.getContent().data(), target.getSize());
  const int64_t offset = PlaceInLiteral(from, edge);
  const auto literal =
      offset < 0 ? std::nullopt : LiteralAt(bytes, width, static_cast<size_t>(offset));
  if (!literal) return false;
  const auto [begin, end] = *literal;
  const std::string key = LiteralKey(section, bytes.substr(begin, end - begin));
  std::optional<uintptr_t> running = LiteralOfUnit(key);
  std::string fingerprint = absl::StrCat("literal|", plan_.unit_name, "|", key);
  if (!running) running = data_->FindConstant(fingerprint);
  if (running) {
    PointAt(edge, *running - begin);
    return true;
  }
  new_constants_.push_back({std::move(fingerprint), &target, begin});
  return false;
}

std::optional<uintptr_t> PatchUnitLink::RunningAddress(const std::string& name) const {
  if (const HostedSymbol* own = object_->index.FindInUnit(plan_.unit, name)) {
    return ReferenceAddress(*object_, *own);
  }
  // LimitScope has made everything local; a unit without the name of its own means another one's.
  if (const HostedSymbol* global = FindGlobalFor(*object_, name)) {
    return ReferenceAddress(*object_, *global);
  }
  if (const auto added = BindToAddedBefore(name)) return added;
  return BindToGlobalModule(*object_, name, object_->host.FindInLibraries(name));
}

void PatchUnitLink::KeepUnnamed(Block& block, Edge& edge) {
  if (kept_.contains(&block)) return;
  if (own_.Contains(block)) return Keep(block, Placement::kData);
  if (IsExecutable(block.getSection())) return Keep(block, Placement::kModuleText);
  // Written by the program and without a name: a table that belongs to this version alone.
  if (!IsConstant(block.getSection())) return Keep(block, Placement::kData);
  // With addresses in it, it may lead to this version's text, and goes with it.
  if (HasRelocations(block)) return Keep(block, Placement::kModuleRest);
  std::string fingerprint = Identity().OfBlock(block);
  if (const auto known = data_->FindConstant(fingerprint)) {
    bound_[&block] = *known;
    return PointAt(edge, *known);
  }
  new_constants_.push_back({std::move(fingerprint), &block});
  Keep(block, Placement::kConstant);
}

void PatchUnitLink::PointAt(Edge& edge, uintptr_t block_address) {
  const uintptr_t address = block_address + edge.getTarget().getOffset();
  Symbol*& absolute = absolutes_[address];
  if (absolute == nullptr) {
    absolute = &graph_->addAbsoluteSymbol(absl::StrCat("__mend_at.", absl::Hex(address)),
                                          llvm::orc::ExecutorAddr(address), 0,
                                          llvm::jitlink::Linkage::Strong, Scope::Local, false);
  }
  edge.setTarget(*absolute);
  // Hosted text is always in reach: no stub in between.
  if (edge.getKind() == x86_64::BranchPCRel32 && object_->memory->Contains(address)) {
    edge.setKind(x86_64::Delta32);
    edge.setAddend(edge.getAddend() - kDisplacementSize);
  }
}

bool PatchUnitLink::GivesAway(const Block& from, const Edge& edge) const {
  const Symbol& target = edge.getTarget();
  // A call, a jump.
  if (!target.isDefined() || edge.getKind() == x86_64::BranchPCRel32) return false;
  const auto named = names_.find(&target.getBlock());
  return named != names_.end() &&
         plan_.new_functions.contains(std::string(*named->second->getName())) &&
         LeadsToEntry(from, edge, named->second->getOffset());
}

void PatchUnitLink::FindPins() {
  for (const auto& [block, placement] : kept_) {
    // It goes with the text, and leads to what the runtime calls alone.
    const bool is_own = own_.Contains(*block);
    for (const Edge& edge : block->edges()) {
      const Symbol& target = edge.getTarget();
      if (is_own) continue;
      if (GivesAway(*block, edge)) {
        is_pinned_ = true;
        given_away_.emplace(*names_.at(&target.getBlock())->getName());
      } else if (target.isExternal() && edge.getKind() != x86_64::BranchPCRel32) {
        plan_.given_away->emplace(*target.getName());
      }
    }
    if (placement != Placement::kConstant && placement != Placement::kData) continue;
    data_bytes_ += block->getSize();
    if (is_own) continue;
    for (const Edge& edge : block->edges()) {
      if (!edge.getTarget().isDefined()) continue;
      const auto target = kept_.find(&edge.getTarget().getBlock());
      if (target == kept_.end()) continue;
      is_pinned_ = is_pinned_ || target->second == Placement::kModuleText ||
                   target->second == Placement::kModuleRest;
    }
  }
}

void PatchUnitLink::TakeGivenAway() {
  for (const Symbol* symbol : new_function_symbols_) {
    const std::string name(*symbol->getName());
    if (symbol->getScope() == Scope::Local) continue;
    if (!plan_.serves_others && !plan_.given_away->contains(name)) continue;
    is_pinned_ = true;
    given_away_.insert(name);
  }
}

absl::StatusOr<uintptr_t> PatchUnitLink::Allocate(CodeMemory& memory, MemoryKind kind, size_t size,
                                                  size_t alignment) {
  if (object_->arena != nullptr) return object_->arena->Allocate(kind, size, alignment);
  return memory.Allocate(kind, size, alignment);
}

void PatchUnitLink::Export(const Symbol& symbol) {
  if (symbol.getScope() != Scope::Default) return;
  exported_[std::string(*symbol.getName())] = symbol.getAddress().getValue();
}

Placement PatchUnitLink::PlacementOf(const Block& block) const {
  if (const auto it = kept_.find(&block); it != kept_.end()) return it->second;
  // What JITLink added: stubs, the table of addresses, the end mark of the unwind data.
  return IsExecutable(block.getSection()) ? Placement::kModuleText : Placement::kModuleRest;
}

llvm::Error PatchUnitLink::AfterFixup(LinkGraph& graph) {
  std::vector<std::string> refused;
  llvm::DenseSet<uintptr_t> opened;
  for (auto& [symbol, replacement] : replaced_symbols_) {
    const CodeAddress entry{symbol->getAddress().getValue()};
    replacement->body = entry + kEntryStubSize;
    replacement->text = {entry, entry + symbol->getSize()};
    // Another name of one that has been here, as constructors and destructors have.
    if (!opened.insert(entry.value).second) continue;
    char* bytes = symbol->getBlock().getAlreadyMutableContent().data() + symbol->getOffset();
    if (!HasEntryStub(entry, symbol->getSize(), bytes)) {
      refused.push_back(Demangled(View(*symbol->getName())));
      continue;
    }
    // What calls the new version by its own entry, such as a self-recursive call that the assembler
    // resolved, passes the original's slot all the same.
    const uint64_t open = OpenEntry(entry, replacement->old->slot);
    std::copy_n(reinterpret_cast<const char*>(&open), sizeof(open), bytes);
  }
  if (!refused.empty()) {
    return ToError(absl::FailedPreconditionError(absl::StrCat(
        plan_.unit_name, ": the new version has no entry stub: ", absl::StrJoin(refused, ", "))));
  }
  TakeGivenAway();
  if (absl::Status slots = AllocateSlots(); !slots.ok()) return ToError(slots);
  for (Symbol* symbol : new_function_symbols_) {
    MakeReplaceable(*symbol);
    const CodeAddress entry{symbol->getAddress().getValue()};
    new_text_.push_back({{entry, entry + symbol->getSize()}, std::string(*symbol->getName())});
    Export(*symbol);
  }
  for (NewDatum& datum : new_data_) {
    datum.datum.address = datum.symbol->getAddress().getValue();
    Export(*datum.symbol);
    const std::string_view name = View(*datum.symbol->getName());
    if (name.starts_with(kSwitchFlagPrefix)) {
      switches_.emplace_back(datum.datum.address, name.substr(sizeof(kSwitchFlagPrefix) - 1));
    }
  }
  for (const Symbol* symbol : own_symbols_) Export(*symbol);
  own_.Read();
  ReadUnitFunctions();
  for (NewConstant& constant : new_constants_) {
    // A block of literals may be one that an earlier patch brought.
    const auto known = bound_.find(constant.block);
    const uintptr_t block =
        known != bound_.end() ? known->second : constant.block->getAddress().getValue();
    constant.address = block + constant.offset;
  }
  rows_ = CollectUnwindRows(graph);
  if (object_->debug != nullptr) {
    debug_.ReadLinked(graph, [this](const std::string& name) { return RunningAddress(name); });
  }
  return llvm::Error::success();
}

void PatchUnitLink::Publish(PatchedObject& object) const {
  PatchData& data = object.data();
  for (const auto& [key, function] : replaceable_) data.AddFunction(key, function);
  for (const NewThreadLocal& local : new_thread_locals_) {
    object.KeepThreadLocal(local.offset, local.size);
  }
  for (const NewDatum& datum : new_data_) {
    data.Add(datum.key, datum.datum);
    if (!datum.datum.thread_offset) continue;
    const intptr_t offset = *datum.datum.thread_offset;
    tls_->SetImage(offset, reinterpret_cast<const void*>(datum.datum.address), datum.datum.size);
    // ORDER[T9]: every thread has its initial value before any function of the patch can be
    // reached; pairs with the trampolines and openings that Coordinator::Start stores.
    tls_->Publish(offset, datum.datum.size);
  }
  for (const auto& [flag, function] : switches_) {
    AddStackSwitch(reinterpret_cast<const uint8_t*>(flag), function);
  }
  for (const NewConstant& constant : new_constants_) {
    data.AddConstant(constant.fingerprint, constant.address);
  }
}

}  // namespace mend::jit
