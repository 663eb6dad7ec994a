#include "jit/patch/units_link.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "jit/link/elf_scan.h"
#include "jit/patch/patch_unit.h"
#include "runtime/format/object_description.h"

namespace mend::jit {
namespace {

// What the links of a patch have made and found.
class UnitsData : public LinkedData {
 public:
  UnitsData(const HostedProgram* object, const std::vector<std::unique_ptr<PatchUnitLink>>& links)
      : object_(object) {
    for (const auto& link : links) {
      const ModulePages& pages = link->data_pages();
      if (pages.rest_size != 0) own_data_.emplace_back(pages.rest, pages.rest + pages.rest_size);
      for (const auto& [text, name] : link->new_text()) own_text_.push_back(text);
    }
  }

  uintptr_t DataEnd(uintptr_t address) const override {
    uintptr_t end = WritableEnd(address);
    if (end == 0 && object_->arena != nullptr) end = object_->arena->DataEnd(address);
    return end != 0 ? end : object_->memory->EndOf(MemoryKind::kConstant, address);
  }
  uintptr_t WritableEnd(uintptr_t address) const override {
    uintptr_t end = OwnEnd(address);
    if (end == 0 && object_->arena != nullptr) end = object_->arena->WritableEnd(address);
    return end != 0 ? end : object_->memory->EndOf(MemoryKind::kData, address);
  }
  // The values of a string go with the patch.
  bool MayHoldParameter(uintptr_t address, size_t size, ParameterKind kind) const override {
    return (kind != ParameterKind::kString || OwnEnd(address) != 0) &&
           LinkedData::MayHoldParameter(address, size, kind);
  }
  CodeRange FindText(CodeAddress entry) const override {
    for (const CodeRange& text : own_text_) {
      if (text.begin == entry) return text;
    }
    return FindTextFrom(*object_, entry);
  }
  // A source patch's descriptor names no functions.
  bool HasStub(CodeAddress /*entry*/) const override { return false; }

 private:
  // The end of the data that goes with the patch's text and contains `address`; 0 when none does.
  uintptr_t OwnEnd(uintptr_t address) const {
    for (const auto& [begin, end] : own_data_) {
      if (address >= begin && address < end) return end;
    }
    return 0;
  }

  const HostedProgram* const object_;
  std::vector<std::pair<uintptr_t, uintptr_t>> own_data_;
  std::vector<CodeRange> own_text_;
};

// One link: plans, links, and tells what came of it.
class Linking {
 public:
  Linking(PatchedObject& into, UnitFactsCache& facts, const UnitsToLink& what)
      : into_(into), object_(into.object()), facts_(facts), what_(what) {}

  absl::Status Plan();
  absl::Status Link();
  absl::Status Protect();
  // What the link took, after it failed.
  void FreePages();
  UnitsResult Result(const HostedProgram* program);

 private:
  absl::Status PlanUnit(const PatchUnit& unit, uint32_t number);
  absl::Status PlanFunction(const PatchUnit& unit, const PatchedFunction& function,
                            PatchUnitLink::Plan& plan);
  absl::Status CheckReferences(const PatchUnit& unit, uint32_t number);
  void PlanNew(const PatchUnit& unit, PatchUnitLink::Plan& plan);
  void PlanAddedBefore(PatchUnitLink::Plan& plan);
  void TakeObjectsOwn(const llvm::jitlink::LinkGraph& graph, PatchUnitLink::Plan& plan);
  bool IsReplaced(const HostedSymbol& added) const;
  void FindAddedBefore(const llvm::jitlink::LinkGraph& graph, PatchUnitLink::Plan& plan);
  absl::StatusOr<GraphPtr> BuildGraph(const PatchUnit& unit, const PatchUnitLink::Plan& plan);
  std::unique_ptr<LinkedUnits> Text(const HostedProgram* program) const;
  absl::Status TakeFunctions();

  PatchedObject& into_;
  const HostedProgram& object_;
  UnitFactsCache& facts_;
  const UnitsToLink& what_;
  std::map<uint32_t, const PatchUnit*> units_;  // by the object's unit
  std::vector<PatchUnitLink::Plan> plans_;
  std::set<std::string> patch_globals_;
  std::set<std::string> given_away_;                         // of them
  std::map<std::string, intptr_t> thread_locals_;            // that the patch adds
  std::map<std::string, const HostedSymbol*> added_before_;  // globals among those of Replacement
  std::deque<std::string> rewritten_;  // objects that graphs are made of in place of the units'
  std::vector<std::unique_ptr<PatchUnitLink>> links_;
  std::vector<PatchFunction> functions_;  // once they are linked
};

absl::Status Linking::Plan() {
  std::vector<uint32_t> numbers;
  for (const PatchUnit* const unit : what_.units) {
    absl::StatusOr<uint32_t> number = facts_.FindUnit(object_, unit->unit);
    if (!number.ok()) return number.status();
    if (!units_.try_emplace(*number, unit).second) {
      return absl::InvalidArgumentError(absl::StrCat("the patch has ", unit->unit, " twice"));
    }
    numbers.push_back(*number);
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    absl::Status planned = PlanUnit(*what_.units[i], numbers[i]);
    if (!planned.ok()) return planned;
  }
  return absl::OkStatus();
}

absl::Status Linking::PlanUnit(const PatchUnit& unit, uint32_t number) {
  PatchUnitLink::Plan plan;
  plan.unit = number;
  plan.unit_name = unit.unit;
  plan.patch_globals = &patch_globals_;
  plan.program_globals = &what_.program_globals;
  plan.module_globals = &what_.module_globals;
  plan.given_away = &given_away_;
  plan.serves_others = what_.serves_others;
  for (const PatchedFunction& function : unit.functions) {
    absl::Status planned = PlanFunction(unit, function, plan);
    if (!planned.ok()) return planned;
  }
  absl::Status checked = CheckReferences(unit, number);
  if (checked.ok()) checked = into_.CheckTypes(unit);
  if (!checked.ok()) return checked;
  PlanNew(unit, plan);
  plans_.push_back(std::move(plan));
  return absl::OkStatus();
}

absl::Status Linking::PlanFunction(const PatchUnit& unit, const PatchedFunction& function,
                                   PatchUnitLink::Plan& plan) {
  const std::string shown = absl::StrCat(Demangled(function.name), " of ", unit.unit);
  const std::string object = object_.index.ShownObject();
  const HostedSymbol* old = function.binding == Binding::kLocal
                                ? object_.index.FindInUnit(plan.unit, function.name)
                                : object_.index.FindGlobal(function.name);
  if (old == nullptr || !old->is_function) {
    return absl::FailedPreconditionError(
        absl::StrCat(object, " has no function ", shown, ", or several"));
  }
  if (old->unit != plan.unit) {
    // A function that many units define (inline, template): the object runs one unit's, and only
    // that unit's new version is taken, if the patch has it.
    const auto owner = units_.find(old->unit);
    if (owner != units_.end() &&
        std::any_of(owner->second->functions.begin(), owner->second->functions.end(),
                    [&function](const PatchedFunction& f) { return f.name == function.name; })) {
      return absl::OkStatus();
    }
  }
  absl::StatusOr<const UnitFacts*> facts = facts_.Of(object_, old->unit);
  if (!facts.ok()) return facts.status();
  const auto described = (*facts)->functions.find(function.name);
  if (described == (*facts)->functions.end() ||
      described->second.fingerprint != function.base_fingerprint) {
    return absl::FailedPreconditionError(absl::StrCat("MEND-E0142: ", object, " runs another ",
                                                      shown, " than the patch was made for"));
  }
  if (old->slot == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(shown, " has no entry stub: not patchable"));
  }
  plan.replaced[function.name] = Replacement{.old = old, .is_added = false, .body = {}, .text = {}};
  return absl::OkStatus();
}

absl::Status Linking::CheckReferences(const PatchUnit& unit, uint32_t number) {
  for (const DataReference& reference : unit.references) {
    const HostedSymbol* datum = reference.binding == Binding::kLocal
                                    ? object_.index.FindInUnit(number, reference.name)
                                    : object_.index.FindGlobal(reference.name);
    // Not the object's: a library's or the program's, or the link will say that it is missing.
    if (datum == nullptr || reference.base_fingerprint.empty()) continue;
    absl::StatusOr<const UnitFacts*> facts = facts_.Of(object_, datum->unit);
    if (!facts.ok()) return facts.status();
    const auto described = (*facts)->data.find(reference.name);
    if (described == (*facts)->data.end() || described->second == reference.base_fingerprint) {
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrCat("MEND-E0142: ", object_.index.ShownObject(), "'s ", Demangled(reference.name),
                     " of ", unit.unit, " is not the one the patch was made for"));
  }
  return absl::OkStatus();
}

void Linking::PlanNew(const PatchUnit& unit, PatchUnitLink::Plan& plan) {
  plan.new_functions.insert(unit.new_functions.begin(), unit.new_functions.end());
  plan.new_data.insert(unit.new_data.begin(), unit.new_data.end());
  for (const AddedType& type : unit.types) plan.types[type.name] = type.layout;
  plan.thread_locals = &thread_locals_;
  plan.added_before = &added_before_;
  PlanAddedBefore(plan);
}

// What an earlier patch has added, and what runs may have the address of, is replaced as the
// object's functions are: such an address leads to the newest version.
void Linking::PlanAddedBefore(PatchUnitLink::Plan& plan) {
  for (auto it = plan.new_functions.begin(); it != plan.new_functions.end();) {
    const HostedSymbol* added = into_.data().FindFunction(absl::StrCat(plan.unit_name, "|", *it));
    if (added == nullptr) added = into_.data().FindFunction(*it);
    if (added == nullptr || added->unit != plan.unit) {
      ++it;
      continue;
    }
    plan.replaced[*it] = Replacement{.old = added, .is_added = true, .body = {}, .text = {}};
    it = plan.new_functions.erase(it);
  }
}

// What is new in a unit and not in the object (an inline function, say): the object's serves. A
// static is the unit's own, whatever others have of that name, and a constant that the object has
// too has changed.
void Linking::TakeObjectsOwn(const llvm::jitlink::LinkGraph& graph, PatchUnitLink::Plan& plan) {
  for (const llvm::jitlink::Symbol* symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || symbol->getScope() == llvm::jitlink::Scope::Local) continue;
    const std::string name(*symbol->getName());
    // Of an inline function that an earlier patch has added one unit has the new version.
    if (added_before_.contains(name)) plan.new_functions.erase(name);
    if (object_.index.FindGlobal(name) == nullptr) continue;
    plan.new_functions.erase(name);
    if (!IsConstant(symbol->getSection())) plan.new_data.erase(name);
  }
}

absl::StatusOr<GraphPtr> Linking::BuildGraph(const PatchUnit& unit,
                                             const PatchUnitLink::Plan& plan) {
  absl::StatusOr<ElfScan> scan = ScanObject(unit.object);
  // One that the program has was chosen when it started, and is its own.
  for (const std::string& name :
       scan.ok() ? scan->indirect_functions : std::vector<std::string>()) {
    if (object_.index.FindGlobal(name) != nullptr && !plan.replaced.contains(name)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "MEND-E0145: ", unit.unit, " has a new function that is chosen at start: ", name));
  }
  if (!scan.ok()) {
    return absl::Status(scan.status().code(),
                        absl::StrCat(unit.unit, ": ", scan.status().message()));
  }
  if (scan->rewritten.empty()) return object_.engine->BuildGraph(unit.unit, unit.object);
  rewritten_.push_back(std::move(scan->rewritten));
  return object_.engine->BuildGraph(unit.unit, rewritten_.back());
}

bool Linking::IsReplaced(const HostedSymbol& added) const {
  return std::any_of(plans_.begin(), plans_.end(), [&added](const PatchUnitLink::Plan& plan) {
    const auto replaced = plan.replaced.find(added.name);
    return replaced != plan.replaced.end() && replaced->second.old == &added;
  });
}

void Linking::FindAddedBefore(const llvm::jitlink::LinkGraph& graph, PatchUnitLink::Plan& plan) {
  for (const llvm::jitlink::Symbol* symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || symbol->getScope() == llvm::jitlink::Scope::Local) continue;
    const std::string name(*symbol->getName());
    const HostedSymbol* const added = into_.data().FindFunction(name);
    // An inline function, which the unit that it was of has no more.
    if (added != nullptr && !IsReplaced(*added) && plan.new_functions.erase(name) != 0) {
      plan.replaced[name] = Replacement{.old = added, .is_added = true, .body = {}, .text = {}};
    }
    const auto replaced = plan.replaced.find(name);
    if (replaced == plan.replaced.end() || !replaced->second.is_added) continue;
    added_before_[name] = replaced->second.old;
  }
}

absl::Status Linking::Link() {
  std::vector<LinkJob> jobs;
  std::vector<GraphPtr> graphs;
  for (size_t i = 0; i < plans_.size(); ++i) {
    absl::StatusOr<GraphPtr> graph = BuildGraph(*what_.units[i], plans_[i]);
    if (!graph.ok()) return graph.status();
    FindAddedBefore(**graph, plans_[i]);
    graphs.push_back(*std::move(graph));
  }
  for (size_t i = 0; i < plans_.size(); ++i) {
    const PatchUnit& unit = *what_.units[i];
    GraphPtr* const graph = &graphs[i];
    TakeObjectsOwn(**graph, plans_[i]);
    for (const llvm::jitlink::Symbol* symbol : (*graph)->defined_symbols()) {
      if (!symbol->hasName() || symbol->getScope() == llvm::jitlink::Scope::Local) continue;
      const std::string name(*symbol->getName());
      if (plans_[i].new_functions.contains(name) || plans_[i].new_data.contains(name)) {
        patch_globals_.insert(name);
      }
    }
    links_.push_back(std::make_unique<PatchUnitLink>(&object_, &into_.data(), plans_[i]));
    links_.back()->Read(**graph, unit.object);
    links_.back()->LimitScope(**graph);
    absl::Status assigned = links_.back()->AssignThreadLocals(**graph);
    if (!assigned.ok()) return assigned;
    jobs.push_back({std::move(*graph), links_.back().get()});
  }
  if (absl::Status chosen = ChooseDefinitions(jobs); !chosen.ok()) return chosen;
  absl::Status linked = object_.engine->Link(std::move(jobs));
  return linked.ok() ? TakeFunctions() : linked;
}

absl::Status Linking::Protect() {
  for (const auto& link : links_) {
    absl::Status status = object_.memory->ProtectModule(link->pages());
    if (!status.ok()) return status;
  }
  return object_.arena != nullptr ? object_.arena->Seal() : object_.memory->Seal();
}

void Linking::FreePages() {
  for (const auto& link : links_) {
    object_.memory->FreeModule(link->pages());
    object_.memory->FreeModule(link->data_pages());
    link->ReleaseThreadLocals();
  }
}

std::unique_ptr<LinkedUnits> Linking::Text(const HostedProgram* program) const {
  std::vector<LinkedUnits::Part> parts;
  for (const auto& link : links_) {
    LinkedUnits::Part part{.pages = link->pages(),
                           .data_pages = link->data_pages(),
                           .rows = link->rows(),
                           .versions = link->new_text(),
                           .data_bytes = link->data_bytes(),
                           .debugged = {}};
    if (object_.debug != nullptr) part.debugged = object_.debug->Add(link->linked(), what_.patch);
    for (const auto& [name, replacement] : link->plan().replaced) {
      part.versions.emplace_back(replacement.text, name);
    }
    parts.push_back(std::move(part));
  }
  // Units of one patch call one another's new functions: one pinned unit pins them all.
  const bool pinned =
      std::any_of(links_.begin(), links_.end(), [](const auto& link) { return link->is_pinned(); });
  return std::make_unique<LinkedUnits>(program, what_.patch, pinned, std::move(parts));
}

// A function that has several names (a constructor's variants, an alias) is replaced once.
absl::Status Linking::TakeFunctions() {
  for (const auto& link : links_) {
    for (const auto& [name, replaced] : link->plan().replaced) {
      if (!replaced.is_added) continue;
      PatchFunction function;
      function.old = object_.index.Site(*replaced.old);
      function.new_body = replaced.body;
      function.new_text = replaced.text;
      function.is_added = true;
      function.detail = "added by an earlier patch";
      functions_.push_back(std::move(function));
    }
  }
  std::map<uintptr_t, size_t> by_entry;  // of functions_
  for (size_t i = 0; i < links_.size(); ++i) {
    for (const PatchedFunction& described : what_.units[i]->functions) {
      const auto& replaced = links_[i]->plan().replaced;
      const auto it = replaced.find(described.name);
      if (it == replaced.end()) continue;
      PatchFunction function;
      function.old = object_.index.Site(*it->second.old);
      function.old.unit = what_.units[i]->unit;
      function.new_body = it->second.body;
      function.new_text = it->second.text;
      function.reason = described.reason;
      function.detail = described.detail;
      const auto [known, is_new] =
          by_entry.try_emplace(function.old.entry.value, functions_.size());
      if (is_new) {
        functions_.push_back(std::move(function));
        continue;
      }
      const PatchFunction& other = functions_[known->second];
      if (other.new_body == function.new_body) continue;
      return absl::FailedPreconditionError(
          absl::StrCat(Demangled(other.old.name), " and ", Demangled(described.name), " of ",
                       what_.units[i]->unit, " are one function in ", object_.index.ShownObject(),
                       ", and two in the patch"));
    }
  }
  return absl::OkStatus();
}

UnitsResult Linking::Result(const HostedProgram* program) {
  for (const auto& link : links_) link->Publish(into_);
  UnitsResult result{.text = Text(program),
                     .functions = std::move(functions_),
                     .added_text = {},
                     .globals = {},
                     .declared = {},
                     .parameter_tables = {},
                     .unit_functions = {},
                     .data = std::make_unique<UnitsData>(&object_, links_)};
  result.declared.is_source_patch = true;
  for (const auto& link : links_) {
    const PatchDeclarations& declared = link->declared();
    result.unit_functions.insert(result.unit_functions.end(), link->unit_functions().begin(),
                                 link->unit_functions().end());
    // Names of which the link would have refused a second one.
    if (declared.patch != 0) result.declared.patch = declared.patch;
    result.declared.state_owners.insert(result.declared.state_owners.end(),
                                        declared.state_owners.begin(), declared.state_owners.end());
    result.parameter_tables.insert(result.parameter_tables.end(), link->parameter_tables().begin(),
                                   link->parameter_tables().end());
    for (const auto& [range, name] : link->new_text()) result.added_text.push_back(range);
    result.globals.insert(link->exported().begin(), link->exported().end());
  }
  for (const auto& [name, added] : added_before_) result.globals[name] = added->address;
  return result;
}

}  // namespace

absl::StatusOr<UnitsResult> LinkUnits(const HostedProgram* program, PatchedObject& into,
                                      UnitFactsCache& facts, const UnitsToLink& what) {
  const HostedProgram& object = into.object();
  const LinkEngine::LoadScope load(object.engine);
  Linking linking(into, facts, what);
  absl::Status status = linking.Plan();
  if (!status.ok()) return status;
  const CodeMemory::Mark memory_mark = object.memory->Position();
  const ModuleArena::Mark arena_mark =
      object.arena != nullptr ? object.arena->Position() : ModuleArena::Mark();
  status = linking.Link();
  if (!status.ok()) {
    linking.FreePages();
    if (object.arena != nullptr) {
      object.arena->Rollback(arena_mark);
    } else {
      object.memory->Rollback(memory_mark);
    }
    return status;
  }
  status = linking.Protect();
  if (!status.ok()) {
    // The little permanent data is lost: it may be sealed already.
    linking.FreePages();
    return status;
  }
  return linking.Result(program);
}

}  // namespace mend::jit
