#include "jit/patch_loader.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/elf_scan.h"
#include "jit/explicit_patch.h"
#include "jit/patch_unit.h"
#include "jit/unit_facts.h"
#include "runtime/format/object_description.h"

namespace mend::jit {

struct PatchLinker::State {
  explicit State(HostedProgram* hosted) : program(hosted) {}

  HostedProgram* const program;
  PatchData data;
  UnitFactsCache facts;
  ParkedArenas parked;
};

namespace {

// A linked patch module. Keeps the linker alive, whose program its text belongs to.
class Module : public LinkedModule {
 public:
  struct Part {
    ModulePages pages;
    UnwindRows rows;
    std::vector<std::pair<CodeRange, std::string>> versions;
    bool is_pinned = false;
    uint64_t data_bytes = 0;
    DebugSupport::Registration debugged;
  };

  Module(HostedProgram* program, std::shared_ptr<PatchLinker> keep, const std::string& name,
         std::vector<Part> parts)
      : program_(program), keep_(std::move(keep)), parts_(std::move(parts)) {
    for (const Part& part : parts_) {
      part.rows.Register(name);
      for (const auto& [text, function] : part.versions) {
        program_->index.AddVersion(text, function);
      }
    }
  }

  ~Module() override {
    for (Part& part : parts_) {
      // Data that stays leads into this text: a later patch may find that data again.
      if (part.is_pinned) {
        program_->KeepRegistered(part.rows, std::move(part.debugged));
        continue;
      }
      for (const auto& [text, name] : part.versions) program_->index.RemoveVersion(text);
      part.rows.Unregister();
      part.debugged = {};
      program_->memory->FreeModule(part.pages);
    }
  }

  uint64_t text_bytes() const override {
    uint64_t bytes = 0;
    for (const Part& part : parts_) bytes += part.pages.size();
    return bytes;
  }
  uint64_t data_bytes() const override {
    uint64_t bytes = 0;
    for (const Part& part : parts_) bytes += part.data_bytes;
    return bytes;
  }

 private:
  HostedProgram* const program_;
  const std::shared_ptr<PatchLinker> keep_;
  std::vector<Part> parts_;
};

// One Load: plans, links, and assembles the patch.
class Linking {
 public:
  Linking(HostedProgram& program, const PatchModule& module) : program_(program), module_(module) {}

  template <typename State>
  absl::Status Plan(State& state);
  absl::Status Link(const PatchData& data);
  absl::Status Protect();
  void Publish(PatchData& data) const;
  // What the link took, after it failed.
  void FreePages();

  std::vector<Module::Part> Parts() const;
  PatchObject Object() const;
  // Functions that the patch adds.
  std::vector<CodeRange> AddedText() const;

 private:
  template <typename State>
  absl::Status PlanUnit(State& state, const PatchUnit& unit, uint32_t number);
  template <typename State>
  absl::Status PlanFunction(State& state, const PatchUnit& unit, const PatchedFunction& function,
                            PatchUnitLink::Plan& plan);
  template <typename State>
  absl::Status CheckReferences(State& state, const PatchUnit& unit, uint32_t number);
  absl::Status PlanNew(const PatchUnit& unit, PatchUnitLink::Plan& plan);
  const PatchedFunction& Description(const PatchUnitLink& link, const std::string& name) const;

  HostedProgram& program_;
  const PatchModule& module_;
  std::map<uint32_t, const PatchUnit*> units_;  // by the program's unit
  std::vector<PatchUnitLink::Plan> plans_;
  std::vector<const PatchUnit*> planned_;
  std::set<std::string> patch_globals_;
  std::map<std::string, intptr_t> thread_locals_;  // that the patch adds
  std::vector<std::unique_ptr<PatchUnitLink>> links_;
};

template <typename State>
absl::Status Linking::Plan(State& state) {
  std::vector<std::pair<const PatchUnit*, uint32_t>> numbered;
  for (const PatchUnit& unit : module_.units) {
    absl::StatusOr<uint32_t> number = state.facts.FindUnit(program_, unit.unit);
    if (!number.ok()) return number.status();
    if (!units_.try_emplace(*number, &unit).second) {
      return absl::InvalidArgumentError(absl::StrCat("the patch has ", unit.unit, " twice"));
    }
    numbered.emplace_back(&unit, *number);
  }
  for (const auto& [unit, number] : numbered) {
    absl::Status planned = PlanUnit(state, *unit, number);
    if (!planned.ok()) return planned;
  }
  return absl::OkStatus();
}

template <typename State>
absl::Status Linking::PlanUnit(State& state, const PatchUnit& unit, uint32_t number) {
  PatchUnitLink::Plan plan;
  plan.unit = number;
  plan.unit_name = unit.unit;
  plan.patch_globals = &patch_globals_;
  for (const PatchedFunction& function : unit.functions) {
    absl::Status planned = PlanFunction(state, unit, function, plan);
    if (!planned.ok()) return planned;
  }
  absl::Status checked = CheckReferences(state, unit, number);
  if (!checked.ok()) return checked;
  absl::Status planned = PlanNew(unit, plan);
  if (!planned.ok()) return planned;
  plans_.push_back(std::move(plan));
  planned_.push_back(&unit);
  return absl::OkStatus();
}

template <typename State>
absl::Status Linking::PlanFunction(State& state, const PatchUnit& unit,
                                   const PatchedFunction& function, PatchUnitLink::Plan& plan) {
  const std::string shown = absl::StrCat(Demangled(function.name), " of ", unit.unit);
  const HostedSymbol* old = function.binding == Binding::kLocal
                                ? program_.index.FindInUnit(plan.unit, function.name)
                                : program_.index.FindGlobal(function.name);
  if (old == nullptr || !old->is_function) {
    return absl::FailedPreconditionError(
        absl::StrCat("the program has no function ", shown, ", or several"));
  }
  if (old->unit != plan.unit) {
    // A function that many units define (inline, template): the program runs one unit's, and only
    // that unit's new version is taken, if the patch has it.
    const auto owner = units_.find(old->unit);
    if (owner != units_.end() &&
        std::any_of(owner->second->functions.begin(), owner->second->functions.end(),
                    [&function](const PatchedFunction& f) { return f.name == function.name; })) {
      return absl::OkStatus();
    }
  }
  absl::StatusOr<const UnitFacts*> facts = state.facts.Of(program_, old->unit);
  if (!facts.ok()) return facts.status();
  const auto described = (*facts)->functions.find(function.name);
  if (described == (*facts)->functions.end() ||
      described->second.fingerprint != function.base_fingerprint) {
    return absl::FailedPreconditionError(
        absl::StrCat("the program runs another ", shown, " than the patch was made for"));
  }
  if (old->slot == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(shown, " has no entry stub: not patchable"));
  }
  plan.replaced[function.name] = Replacement{.old = old, .body = {}, .text = {}};
  return absl::OkStatus();
}

template <typename State>
absl::Status Linking::CheckReferences(State& state, const PatchUnit& unit, uint32_t number) {
  for (const DataReference& reference : unit.references) {
    const HostedSymbol* datum = reference.binding == Binding::kLocal
                                    ? program_.index.FindInUnit(number, reference.name)
                                    : program_.index.FindGlobal(reference.name);
    // Not the program's: a library's, or the link will say that it is missing.
    if (datum == nullptr || reference.base_fingerprint.empty()) continue;
    absl::StatusOr<const UnitFacts*> facts = state.facts.Of(program_, datum->unit);
    if (!facts.ok()) return facts.status();
    const auto described = (*facts)->data.find(reference.name);
    if (described == (*facts)->data.end() || described->second == reference.base_fingerprint) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat("the program's ", Demangled(reference.name),
                                                      " of ", unit.unit,
                                                      " is not the one the patch was made for"));
  }
  return absl::OkStatus();
}

absl::Status Linking::PlanNew(const PatchUnit& unit, PatchUnitLink::Plan& plan) {
  const auto add = [this](const std::vector<std::string>& names, std::set<std::string>& to) {
    for (const std::string& name : names) {
      // Another unit of the program has it (an inline function, say): that one serves.
      if (program_.index.FindGlobal(name) == nullptr) to.insert(name);
    }
  };
  add(unit.new_functions, plan.new_functions);
  add(unit.new_data, plan.new_data);
  plan.thread_locals = &thread_locals_;
  return absl::OkStatus();
}

absl::Status Linking::Link(const PatchData& data) {
  std::vector<LinkJob> jobs;
  for (size_t i = 0; i < plans_.size(); ++i) {
    const PatchUnit& unit = *planned_[i];
    absl::StatusOr<ElfScan> scan = ScanObject(unit.object);
    if (scan.ok() && !scan->indirect_functions.empty()) {
      scan = absl::FailedPreconditionError(absl::StrCat(
          "it has a function that is chosen at start: ", scan->indirect_functions.front()));
    }
    if (!scan.ok()) {
      return absl::Status(scan.status().code(),
                          absl::StrCat(unit.unit, ": ", scan.status().message()));
    }
    absl::StatusOr<GraphPtr> graph = program_.engine->BuildGraph(unit.unit, unit.object);
    if (!graph.ok()) return graph.status();
    for (const llvm::jitlink::Symbol* symbol : (*graph)->defined_symbols()) {
      if (!symbol->hasName() || symbol->getScope() == llvm::jitlink::Scope::Local) continue;
      const std::string name(*symbol->getName());
      if (plans_[i].new_functions.contains(name) || plans_[i].new_data.contains(name)) {
        patch_globals_.insert(name);
      }
    }
    links_.push_back(std::make_unique<PatchUnitLink>(&program_, &data, program_.tls, plans_[i]));
    links_.back()->Read(**graph, unit.object);
    links_.back()->LimitScope(**graph);
    absl::Status assigned = links_.back()->AssignThreadLocals(**graph);
    if (!assigned.ok()) return assigned;
    jobs.push_back({*std::move(graph), links_.back().get()});
  }
  return program_.engine->Link(std::move(jobs));
}

absl::Status Linking::Protect() {
  for (const auto& link : links_) {
    absl::Status status = program_.memory->ProtectModule(link->pages());
    if (!status.ok()) return status;
  }
  return program_.memory->Seal();
}

void Linking::Publish(PatchData& data) const {
  for (const auto& link : links_) link->Publish(data);
}

void Linking::FreePages() {
  for (const auto& link : links_) {
    program_.memory->FreeModule(link->pages());
    link->ReleaseThreadLocals();
  }
}

std::vector<Module::Part> Linking::Parts() const {
  std::vector<Module::Part> parts;
  for (const auto& link : links_) {
    Module::Part part{link->pages(),     link->rows(),       link->new_text(),
                      link->is_pinned(), link->data_bytes(), {}};
    if (program_.debug != nullptr) {
      part.debugged = program_.debug->Add(link->linked(), module_.name);
    }
    for (const auto& [name, replacement] : link->plan().replaced) {
      part.versions.emplace_back(replacement.text, name);
    }
    parts.push_back(std::move(part));
  }
  // Units of one patch call one another's new functions: one pinned unit pins them all.
  const bool pinned = std::any_of(parts.begin(), parts.end(),
                                  [](const Module::Part& part) { return part.is_pinned; });
  for (Module::Part& part : parts) part.is_pinned = pinned;
  return parts;
}

PatchObject Linking::Object() const {
  PatchObject object;
  for (size_t i = 0; i < links_.size(); ++i) {
    for (const PatchedFunction& described : planned_[i]->functions) {
      const auto& replaced = links_[i]->plan().replaced;
      const auto it = replaced.find(described.name);
      if (it == replaced.end()) continue;
      PatchFunction function;
      function.old = program_.index.Site(*it->second.old);
      function.new_body = it->second.body;
      function.new_text = it->second.text;
      function.reason = described.reason;
      function.detail = described.detail;
      object.functions.push_back(std::move(function));
    }
  }
  return object;
}

std::vector<CodeRange> Linking::AddedText() const {
  std::vector<CodeRange> added;
  for (const auto& link : links_) {
    for (const auto& [range, name] : link->new_text()) added.push_back(range);
  }
  return added;
}

// The function of that name and position (rules I5), with the kernel's words when there is none.
absl::StatusOr<const HostedSymbol*> FindByPosition(const HostedProgram& object,
                                                   const std::string& name, unsigned position,
                                                   const std::string& shown) {
  const std::vector<const HostedSymbol*> found = object.index.FunctionsNamed(name);
  if (found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: symbol '", name, "' not found in symbol table"));
  }
  if (position == 0 && found.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: unresolvable ambiguity for symbol '",
                                                   name, "' in object '", shown, "'"));
  }
  if (position > found.size()) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: symbol position ", position,
                                                   " for symbol '", name, "' in object '", shown,
                                                   "' not found"));
  }
  return found[position == 0 ? 0 : position - 1];
}

}  // namespace

PatchLinker::PatchLinker(HostedProgram* program) : state_(std::make_unique<State>(program)) {}
PatchLinker::~PatchLinker() = default;

absl::StatusOr<std::unique_ptr<Patch>> PatchLinker::Load(const PatchModule& module,
                                                         const ProgramArguments& arguments) {
  HostedProgram& program = *state_->program;
  auto patch = std::make_unique<Patch>();
  patch->name = module.name;
  patch->content_hash = module.content_hash;
  patch->replace = module.replace;
  for (const std::string& name : module.hold) {
    absl::StatusOr<FunctionSite> held = FindHostedFunction(program, name);
    if (!held.ok()) return held.status();
    patch->held.push_back(*std::move(held));
  }
  for (FunctionSite& site : UnitFunctions(program)) patch->held.push_back(std::move(site));
  absl::Status loaded = module.is_explicit() ? ExplicitPatch::Load(&program, &state_->parked,
                                                                   module, arguments, *patch)
                                             : LoadUnits(module, *patch);
  if (!loaded.ok()) return loaded;
  return patch;
}

absl::Status PatchLinker::LoadUnits(const PatchModule& module, Patch& patch) {
  HostedProgram& program = *state_->program;
  Linking linking(program, module);
  absl::Status status = linking.Plan(*state_);
  if (!status.ok()) return status;
  const CodeMemory::Mark mark = program.memory->Position();
  status = linking.Link(state_->data);
  if (!status.ok()) {
    linking.FreePages();
    program.memory->Rollback(mark);
    return status;
  }
  status = linking.Protect();
  if (!status.ok()) {
    // The little permanent data is lost: it may be sealed already.
    linking.FreePages();
    return status;
  }
  linking.Publish(state_->data);
  patch.objects.push_back(linking.Object());
  patch.added_text = linking.AddedText();
  patch.module =
      std::make_unique<Module>(&program, shared_from_this(), module.name, linking.Parts());
  return absl::OkStatus();
}

absl::Status PatchLinker::ResolveObject(const std::string& program_name, const Patch& patch,
                                        PatchObject& object) {
  const HostedProgram* hosted =
      object.name.empty() ? state_->program : state_->program->guests.Find(object.name);
  const std::string& shown = object.name.empty() ? program_name : object.name;
  if (hosted == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: object '", shown, "' is not loaded"));
  }
  // Names of this patch: a copy in a function that is replaced too is no old code.
  std::set<std::string> replaced;
  for (const PatchFunction& function : object.functions) replaced.insert(function.old.name);
  const auto* const explicit_patch =
      patch.descriptor != nullptr ? static_cast<const ExplicitPatch*>(patch.module.get()) : nullptr;
  std::vector<FunctionSite> sites;
  std::map<CodeAddress, std::string> entries;
  for (const PatchFunction& function : object.functions) {
    FunctionSite site = function.old;
    if (site.entry.is_null()) {
      absl::StatusOr<const HostedSymbol*> found =
          FindByPosition(*hosted, site.name, site.sympos, shown);
      if (!found.ok()) return found.status();
      if (explicit_patch != nullptr && !function.nop) {
        absl::Status checked =
            explicit_patch->CheckReplacement(state_->facts, *hosted, **found, function, replaced);
        if (!checked.ok()) return checked;
      }
      const unsigned sympos = site.sympos;
      site = hosted->index.Site(**found);
      site.sympos = sympos;
    }
    const auto [at, is_new] = entries.emplace(site.entry, site.name);
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat("EINVAL: '", at->second, "' and '", site.name, "' are the same function"));
    }
    sites.push_back(std::move(site));
  }
  for (size_t i = 0; i < sites.size(); ++i) object.functions[i].old = std::move(sites[i]);
  return absl::OkStatus();
}

void PatchLinker::Forget(const HostedProgram& guest) { state_->facts.Forget(guest); }

}  // namespace mend::jit
