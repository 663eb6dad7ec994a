#include "jit/program/program_unit.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "jit/link/elf_scan.h"
#include "jit/link/entry_stubs.h"
#include "llvm/ADT/BitmaskEnum.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"
#include "runtime/base/address_space.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"
#include "runtime/format/stack_switch_names.h"
#include "runtime/safepoint/stack_switches.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;
namespace x86_64 = llvm::jitlink::x86_64;
LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

constexpr char kIndirectSlots[] = "$mend.ifunc";
constexpr char kSwitchFlags[] = "$mend.switched";

Binding BindingOf(const Symbol& symbol) {
  if (symbol.getScope() == llvm::jitlink::Scope::Local) return Binding::kLocal;
  return symbol.getLinkage() == llvm::jitlink::Linkage::Weak ? Binding::kWeak : Binding::kGlobal;
}

bool IsThreadLocalImage(const Symbol& symbol) {
  return symbol.hasName() && (*symbol.getName()).starts_with(kTlsImagePrefix);
}

// Whether what the section holds is used without anybody referring to it.
bool IsRoot(const Section& section) {
  return IsInitializerSection(View(section.getName())) || IsTableSection(section);
}

std::vector<Block*> BlocksInOrder(Section& section) {
  std::vector<Block*> blocks(section.blocks().begin(), section.blocks().end());
  std::sort(blocks.begin(), blocks.end(),
            [](const Block* a, const Block* b) { return a->getAddress() < b->getAddress(); });
  return blocks;
}

}  // namespace

const HostedSymbol* FindForUnit(const HostedProgram& object, uint32_t unit, std::string_view name) {
  const bool is_table = name.starts_with(kTableStart) || name.starts_with(kTableStop);
  return is_table ? object.index.FindInUnit(unit, name) : object.index.FindGlobal(name);
}

bool IsTableSection(const Section& section) {
  const std::string_view name = View(section.getName());
  if (!IsAllocated(section) || name.empty() || name == "__patchable_function_entries") return false;
  // "__common" is JITLink's name for tentative definitions.
  if (name == "__common" || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
}

absl::Status ProgramUnit::Build(const std::string& name, std::string_view bytes) {
  absl::StatusOr<ElfScan> scan = ScanObject(bytes);
  if (!scan.ok()) {
    return absl::Status(scan.status().code(), absl::StrCat(name, ": ", scan.status().message()));
  }
  rewritten_ = std::move(scan->rewritten);
  if (!rewritten_.empty()) bytes = rewritten_;
  const bool is_of_process = program_->parent == nullptr && program_->may_allocate;
  absl::StatusOr<GraphPtr> graph = program_->engine->BuildGraph(
      name, bytes, is_of_process ? kStartAddressSpace : kRequestAddressSpace);
  if (!graph.ok()) return graph.status();
  graph_ = *std::move(graph);
  if (program_->debug != nullptr) debug_.ReadGraph(*graph_, bytes);
  for (const std::string& indirect : scan->indirect_functions) {
    for (Symbol* symbol : graph_->defined_symbols()) {
      if (!symbol->hasName() || *symbol->getName() != indirect) continue;
      MakeIndirect(*symbol);
      break;
    }
  }
  NoteSwitches(bytes);
  absolutes_ = std::move(scan->absolute_symbols);
  NameVersions();
  for (Symbol* symbol : graph_->defined_symbols()) {
    if (symbol->hasName() && symbol->getScope() != llvm::jitlink::Scope::Local) {
      shared_.push_back(symbol);
    }
  }
  return absl::OkStatus();
}

void ProgramUnit::NameVersions() {
  std::vector<Symbol*> versioned;
  llvm::DenseSet<llvm::orc::SymbolStringPtr> defined;
  for (Symbol* symbol : graph_->defined_symbols()) {
    if (!symbol->hasName() || symbol->getScope() == llvm::jitlink::Scope::Local) continue;
    if ((*symbol->getName()).contains("@@")) versioned.push_back(symbol);
    defined.insert(symbol->getName());
  }
  for (Symbol* const symbol : versioned) {
    const auto [plain, version] = (*symbol->getName()).split("@@");
    // As a reference names this version, and as all others do.
    for (const std::string& name : {(plain + "@" + version).str(), plain.str()}) {
      if (!defined.insert(graph_->intern(name)).second) continue;
      Symbol& alias =
          AddNamedSymbol(*graph_, symbol->getBlock(), symbol->getOffset(), symbol->getSize(), name,
                         symbol->getScope(), symbol->isCallable());
      alias.setLinkage(symbol->getLinkage());
    }
  }
}

void ProgramUnit::NoteSwitches(std::string_view object) {
  const absl::StatusOr<std::string_view> names = FindElfSection(object, kSwitchesSection);
  if (!names.ok()) return;
  std::set<std::string_view> switches;
  for (std::string_view rest = *names; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    switches.insert(name);
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
  }
  std::vector<Symbol*> noted;
  for (Symbol* symbol : graph_->defined_symbols()) {
    if (symbol->hasName() && switches.contains(View(*symbol->getName())) &&
        IsExecutable(symbol->getSection())) {
      noted.push_back(symbol);
    }
  }
  for (Symbol* const symbol : noted) MakeNoted(*symbol);
}

// Neither a register nor a flag of the processor changes: nobody knows what the function takes.
void ProgramUnit::MakeNoted(Symbol& function) {
  // movb $1, flag(%rip); jmp body
  static constexpr char kNote[] = {'\xc6', '\x05', 0, 0, 0, 0, '\x01', '\xe9', 0, 0, 0, 0};
  constexpr int kFlagAt = 2;
  constexpr int kBodyAt = 8;
  LinkGraph& graph = *graph_;
  const std::string name(*function.getName());
  Section& flags =
      SectionNamed(graph, kSwitchFlags, llvm::orc::MemProt::Read | llvm::orc::MemProt::Write);
  Block& flag_block = graph.createMutableContentBlock(flags, 1, llvm::orc::ExecutorAddr(), 1, 0);
  Symbol& flag = graph.addAnonymousSymbol(flag_block, 0, 1, false, true);
  // Named, so that a stack with it on it can be told.
  Symbol& body =
      AddNamedSymbol(graph, function.getBlock(), function.getOffset(), function.getSize(),
                     name + ".body", llvm::jitlink::Scope::Local, /*is_callable=*/true);
  Section& notes =
      SectionNamed(graph, kNotesSection, llvm::orc::MemProt::Read | llvm::orc::MemProt::Exec);
  Block& note = graph.createContentBlock(notes, llvm::ArrayRef<char>(kNote, sizeof(kNote)),
                                         llvm::orc::ExecutorAddr(), 16, 0);
  // From the end of each instruction.
  note.addEdge(x86_64::Delta32, kFlagAt, flag, kFlagAt - 7);
  note.addEdge(x86_64::Delta32, kBodyAt, body, kBodyAt - 12);
  graph.transferDefinedSymbol(function, note, 0, sizeof(kNote));
  switch_flags_.emplace_back(&flag, name);
}

// Turns the symbol, which names a resolver now, into a stub that jumps to what the resolver says.
void ProgramUnit::MakeIndirect(Symbol& function) {
  LinkGraph& graph = *graph_;
  Section& slots =
      SectionNamed(graph, kIndirectSlots, llvm::orc::MemProt::Read | llvm::orc::MemProt::Write);
  Symbol& resolver = graph.addAnonymousSymbol(function.getBlock(), function.getOffset(),
                                              function.getSize(), true, true);
  Block& slot_block = graph.createMutableContentBlock(slots, 8, llvm::orc::ExecutorAddr(), 8, 0);
  slot_block.addEdge(x86_64::Pointer64, 0, resolver, 0);
  Symbol& slot = graph.addAnonymousSymbol(slot_block, 0, 8, false, true);
  graph.transferDefinedSymbol(function, MakeJumpStub(graph, slot), 0, kJumpStubSize);
  indirect_slots_.push_back(&slot);
}

void ProgramUnit::CollectSymbols() {
  for (Symbol* symbol : graph_->defined_symbols()) {
    const Section& section = symbol->getSection();
    if (!IsAllocated(section) || !HasSourceName(*symbol)) continue;
    if (section.getName().starts_with(".gcc_except_table")) continue;
    symbol->setLive(true);
    if (IsThreadLocalImage(*symbol)) {
      thread_locals_.push_back({.image = symbol});
    } else {
      named_.push_back(symbol);
    }
  }
  for (Section& section : graph_->sections()) {
    if (!IsAllocated(section) || !IsRoot(section)) continue;
    const std::vector<Block*> blocks(section.blocks().begin(), section.blocks().end());
    for (Block* block : blocks) {
      graph_->addAnonymousSymbol(*block, 0, block->getSize(), false, /*IsLive=*/true);
    }
  }
}

bool ProgramUnit::IsOnlyCalled(const Symbol& symbol) const {
  for (const Block* block : graph_->blocks()) {
    for (const auto& edge : block->edges()) {
      if (!edge.isRelocation() || &edge.getTarget() != &symbol) continue;
      if (edge.getKind() != x86_64::BranchPCRel32) return false;
    }
  }
  return true;
}

absl::Status ProgramUnit::AssignThreadLocals() {
  for (ThreadLocal& local : thread_locals_) {
    const Symbol& image = *local.image;
    const std::string name((*image.getName()).drop_front(sizeof(kTlsImagePrefix) - 1));
    local.size = image.getSize();
    absl::StatusOr<intptr_t> offset =
        program_->tls->Assign(image.getSize(), image.getBlock().getAlignment());
    if (!offset.ok()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          program_->index.file(number_), ": thread-local ", name, ": ", offset.status().message()));
    }
    local.offset = *offset;
    program_->tls_ranges.emplace_back(*offset, local.size);
    if (BindingOf(image) == Binding::kLocal) {
      program_->thread_locals.AddLocal(number_, name, *offset);
    } else {
      program_->thread_locals.AddGlobal(name, *offset);
    }
  }
  return absl::OkStatus();
}

absl::Status ProgramUnit::ReserveSlots() {
  // Whether there is a stub is seen later, in the linked text; few functions have none.
  const auto functions = std::count_if(named_.begin(), named_.end(), [](const Symbol* symbol) {
    return symbol->isCallable() && IsExecutable(symbol->getSection());
  });
  if (functions == 0) return absl::OkStatus();
  absl::StatusOr<uintptr_t> slots = program_->Allocate(
      MemoryKind::kData, static_cast<size_t>(functions) * sizeof(uintptr_t), sizeof(uintptr_t));
  if (!slots.ok()) return slots.status();
  next_slot_ = reinterpret_cast<uintptr_t*>(*slots);
  return absl::OkStatus();
}

Placement ProgramUnit::PlacementOf(const Block& block) const {
  const Section& section = block.getSection();
  if (IsExecutable(section)) return Placement::kText;
  if (late_.HasWord(block)) return Placement::kData;
  if (IsConstant(section) || IsInitializerSection(View(section.getName()))) {
    return Placement::kConstant;
  }
  return Placement::kData;
}

absl::StatusOr<uintptr_t> ProgramUnit::Allocate(CodeMemory& /*memory*/, MemoryKind kind,
                                                size_t size, size_t alignment) {
  return program_->Allocate(kind, size, alignment);
}

std::optional<uintptr_t> ProgramUnit::ReservedAddress(const Block& block) const {
  const auto found = reserved_.find(&block);
  if (found == reserved_.end()) return std::nullopt;
  return found->second;
}

llvm::Error ProgramUnit::AfterFixup(LinkGraph& graph) {
  RecordSymbols();
  for (ThreadLocal& local : thread_locals_) local.address = local.image->getAddress().getValue();
  for (const Symbol* slot : indirect_slots_) {
    resolved_slots_.push_back(slot->getAddress().toPtr<uintptr_t*>());
  }
  for (const auto& [flag, function] : switch_flags_) {
    switches_.emplace_back(flag->getAddress().getValue(), function);
  }
  rows_ = CollectUnwindRows(graph);
  RecordInitializers(graph);
  if (program_->arena != nullptr) RecordTextPointers();
  RecordLiterals(graph);
  late_words_ = late_.Words(graph);
  if (program_->debug != nullptr) {
    // A datum that another unit provides is described there.
    debug_.ReadLinked(graph, nullptr);
  }
  return llvm::Error::success();
}

void ProgramUnit::RecordSymbols() {
  symbols_.reserve(named_.size());
  for (Symbol* symbol : named_) {
    HostedSymbol hosted;
    hosted.name = std::string(*symbol->getName());
    hosted.unit = number_;
    hosted.binding = BindingOf(*symbol);
    hosted.is_function = symbol->isCallable() && IsExecutable(symbol->getSection());
    hosted.is_hidden = symbol->getScope() != llvm::jitlink::Scope::Default;
    hosted.address = symbol->getAddress().getValue();
    hosted.size = symbol->getSize();
    if (hosted.is_function) MakeEntryStub(*symbol, hosted);
    if (hosted.name.starts_with(kSwitchFlagPrefix)) {
      switches_.emplace_back(hosted.address, hosted.name.substr(sizeof(kSwitchFlagPrefix) - 1));
    }
    symbols_.push_back(std::move(hosted));
  }
  for (const auto& [name, value] : absolutes_) {
    symbols_.push_back({.name = name, .unit = number_, .address = value});
  }
}

void ProgramUnit::MakeEntryStub(Symbol& function, HostedSymbol& symbol) {
  const CodeAddress entry{symbol.address};
  if (const auto known = slots_.find(entry.value); known != slots_.end()) {
    symbol.slot = known->second;
    return;
  }
  Block& block = function.getBlock();
  if (block.isZeroFill()) return;
  char* bytes = block.getAlreadyMutableContent().data() + function.getOffset();
  if (!HasEntryStub(entry, symbol.size, bytes)) return;
  symbol.slot = next_slot_++;
  *symbol.slot = (entry + kEntryStubSize).value;
  std::copy_n(reinterpret_cast<const char*>(&kClosedEntry), sizeof(kClosedEntry), bytes);
  slots_[entry.value] = symbol.slot;
}

void ProgramUnit::RecordInitializers(LinkGraph& graph) {
  for (Section& section : graph.sections()) {
    const std::string_view name = View(section.getName());
    const bool is_table =
        name == kParameterSection || name == kStateOwnerSection || name == kUnitSection;
    if (!IsInitializerSection(name) && !is_table) continue;
    for (const Block* block : BlocksInOrder(section)) {
      arrays_.push_back({std::string(section.getName()), block->getAddress().getValue(),
                         block->getSize() / sizeof(uintptr_t)});
    }
  }
}

// Switch tables and the like have no name, and are followed only by the text that they belong to.
void ProgramUnit::RecordTextPointers() {
  const std::vector<CodeRange> text = program_->arena->text();
  llvm::DenseSet<const Block*> seen;
  for (const Symbol* symbol : named_) {
    if (!symbol->isDefined() || IsExecutable(symbol->getSection())) continue;
    const Block& block = symbol->getBlock();
    if (IsRoot(block.getSection()) || !seen.insert(&block).second) continue;
    for (const auto& edge : block.edges()) {
      if (!edge.isRelocation()) continue;
      const CodeAddress target{edge.getTarget().getAddress().getValue()};
      if (std::any_of(text.begin(), text.end(),
                      [target](const CodeRange& range) { return range.Contains(target); })) {
        text_pointers_.push_back(block.getAddress().getValue() + edge.getOffset());
      }
    }
  }
}

void ProgramUnit::RecordLiterals(LinkGraph& graph) {
  for (const Section& section : graph.sections()) {
    const std::string_view name = View(section.getName());
    if (LiteralWidth(name) == 0) continue;
    for (const Block* block : section.blocks()) {
      if (block->isZeroFill()) continue;
      literals_.push_back(
          {std::string(name), {block->getAddress().toPtr<const char*>(), block->getSize()}});
    }
  }
}

void ProgramUnit::Publish() {
  if (!literals_.empty()) program_->literals[number_] = std::move(literals_);
  program_->text_pointers.insert(program_->text_pointers.end(), text_pointers_.begin(),
                                 text_pointers_.end());
  program_->late_words.insert(program_->late_words.end(), late_words_.begin(), late_words_.end());
  program_->index.Add(std::move(symbols_));
  for (auto& [flag, function] : switches_) {
    AddStackSwitch(reinterpret_cast<const uint8_t*>(flag), std::move(function));
  }
  rows_.Register();
  DebugSupport::Registration debugged;
  if (program_->debug != nullptr) {
    debugged = program_->debug->Add(debug_.linked(), program_->version);
  }
  program_->KeepRegistered(std::move(rows_), std::move(debugged));
  for (const Array& array : arrays_) {
    if (array.section == kParameterSection) {
      program_->parameter_tables.emplace_back(array.begin, array.count * sizeof(uintptr_t));
      continue;
    }
    if (array.section == kStateOwnerSection) {
      program_->state_owner_tables.emplace_back(array.begin, array.count * sizeof(uintptr_t));
      continue;
    }
    if (array.section == kUnitSection) {
      program_->unit_tables.emplace_back(array.begin, array.count * sizeof(uintptr_t));
      continue;
    }
    program_->initializers.Add(array.section, number_, array.begin, array.count);
  }
  for (uintptr_t* slot : resolved_slots_) program_->initializers.AddResolver(*slot, slot);
  for (const ThreadLocal& local : thread_locals_) {
    program_->tls->SetImage(local.offset, reinterpret_cast<const void*>(local.address), local.size);
    program_->tls->Publish(local.offset, local.size);
  }
}

}  // namespace mend::jit
