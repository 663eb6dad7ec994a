#include "jit/patch/patch_loader.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "jit/patch/explicit_patch.h"
#include "jit/patch/source_patch.h"
#include "jit/program/unit_facts.h"
#include "runtime/format/function_request.h"

namespace mend::jit {

struct PatchLinker::State {
  explicit State(HostedProgram* hosted)
      : program(hosted), own(std::make_shared<PatchedObject>(hosted)) {}

  // What patches have left in the guest module.
  const std::shared_ptr<PatchedObject>& Of(const HostedProgram& guest) {
    std::shared_ptr<PatchedObject>& object = guests[&guest];
    if (object == nullptr) object = std::make_shared<PatchedObject>(&guest);
    return object;
  }

  HostedProgram* const program;
  const std::shared_ptr<PatchedObject> own;
  std::map<const HostedProgram*, std::shared_ptr<PatchedObject>> guests;
  UnitFactsCache facts;
  ParkedPatches parked;
};

namespace {

// A function to hold. Its module may come later, if the patch is for that.
absl::StatusOr<FunctionSite> FindHeld(const HostedProgram& program, const PatchModule& module,
                                      const std::string& request) {
  const FunctionRequest parsed = ParseFunctionRequest(request);
  const std::string object(parsed.object);
  const bool is_pending = !object.empty() && program.guests.Find(object) == nullptr &&
                          std::any_of(module.units.begin(), module.units.end(),
                                      [&](const PatchUnit& unit) { return unit.module == object; });
  if (!is_pending) return FindHostedFunction(program, request);
  FunctionSite site;
  site.object = object;
  site.name = std::string(parsed.function);
  site.sympos = std::max(parsed.position, 1u);
  return site;
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
  patch->replace_set = module.replace_set;
  patch->changed_layouts = module.changed_layouts;
  for (const std::string& name : module.hold) {
    absl::StatusOr<FunctionSite> held = FindHeld(program, module, name);
    if (!held.ok()) return held.status();
    patch->held.push_back(*std::move(held));
  }
  for (FunctionSite& site : UnitFunctions(program)) patch->held.push_back(std::move(site));
  absl::Status loaded =
      module.is_explicit()
          ? ExplicitPatch::Load(&program, &state_->parked, module, arguments, *patch)
          : SourcePatch::Load(shared_from_this(), state_->own, state_->facts, module, *patch);
  if (!loaded.ok()) return loaded;
  return patch;
}

absl::Status PatchLinker::ResolveObject(const std::string& program_name, const Patch& patch,
                                        PatchObject& object) {
  const HostedProgram* hosted =
      object.name.empty() ? state_->program : state_->program->guests.Find(object.name);
  const std::string& shown = object.name.empty() ? program_name : object.name;
  if (hosted == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: object '", shown, "' is not loaded"));
  }
  if (SourcePatch* const source = LinkedPatch::Of(patch).AsSource();
      source != nullptr && hosted->parent != nullptr) {
    absl::Status linked = source->LinkObject(state_->Of(*hosted), state_->facts, object);
    if (!linked.ok()) return linked;
  }
  // Names of this patch: a copy in a function that is replaced too is no old code.
  std::set<std::string> replaced;
  for (const PatchFunction& function : object.functions) replaced.insert(function.old.name);
  const ExplicitPatch* const explicit_patch = LinkedPatch::Of(patch).AsExplicit();
  std::vector<FunctionSite> sites;
  std::map<CodeAddress, std::string> entries;
  for (const PatchFunction& function : object.functions) {
    FunctionSite site = function.old;
    if (site.entry.is_null()) {
      absl::StatusOr<const HostedSymbol*> found =
          SymbolAtPosition(hosted->index.FunctionsNamed(site.name), site.name, site.sympos, shown);
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
  if (explicit_patch != nullptr) {
    absl::Status bound = explicit_patch->BindLateSymbols(*hosted, object.name);
    if (!bound.ok()) return bound;
  }
  for (size_t i = 0; i < sites.size(); ++i) object.functions[i].old = std::move(sites[i]);
  return absl::OkStatus();
}

void PatchLinker::ForgetObject(const Patch& patch, PatchObject& object) {
  LinkedPatch& linked = LinkedPatch::Of(patch);
  if (SourcePatch* const source = linked.AsSource()) source->ForgetObject(object);
  if (const ExplicitPatch* const own = linked.AsExplicit()) own->ReleaseLateSymbols(object.name);
}

void PatchLinker::Forget(const HostedProgram& guest) {
  state_->facts.Forget(guest);
  const auto found = state_->guests.find(&guest);
  if (found == state_->guests.end()) return;
  found->second->Free();
  state_->guests.erase(found);
}

void PatchLinker::PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->parked.PrepareFork();
  state_->own->PrepareFork();
  for (const auto& [guest, object] : state_->guests) object->PrepareFork();
}

void PatchLinker::AfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const auto& [guest, object] : state_->guests) object->AfterFork();
  state_->own->AfterFork();
  state_->parked.AfterFork();
}

}  // namespace mend::jit
