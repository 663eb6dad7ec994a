// Target objects that come and go (rules 1.10), and the states of patches (1.11).
#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/patch/validate_patch.h"
#include "runtime/transition/object_hooks.h"
#include "runtime/transition/registry_state.h"

namespace mend {
namespace {

// How long an unloading waits for threads to leave the module's text, as Remove does for a patch's.
constexpr int64_t kModuleLookNs = 100'000'000;

PatchObject* FindObject(Patch* patch, const std::string& name) {
  for (PatchObject& object : patch->objects) {
    if (object.name == name) return &object;
  }
  return nullptr;
}

// Whether the kernel's log has such a line.
bool IsKernelText(const std::string& text) {
  for (const char* const start : {"symbol '", "symbol position ", "unresolvable ", "kallsyms "}) {
    if (absl::StartsWith(text, start)) return true;
  }
  return false;
}

}  // namespace

mend_object* PatchRegistry::State::LoadedObjectLocked(const std::string& name) {
  if (name.empty()) return &program_;
  const auto at = modules_.find(name);
  return at == modules_.end() ? nullptr : at->second;
}

void PatchRegistry::State::LogModule(const char* kind, const Patch& patch,
                                     const mend_object& module, const std::string& text) {
  Event event = LivepatchEvent(kind, patch.name, text);
  event.object = module.name;
  events_->Append(std::move(event));
}

// --- places ---

absl::Status PatchRegistry::State::ResolveLocked(Patch* patch, PatchObject* object,
                                                 mend_object* module) {
  object->loaded = module;
  absl::Status resolved = loader_->ResolveObject(patch, object);
  if (resolved.ok()) resolved = ValidateLoadedObject(*object);
  if (resolved.ok()) return resolved;
  // In the log as in the kernel's; what it has no line for, the caller is told.
  if (const std::string text(ErrnoOf(resolved).detail); IsKernelText(text)) {
    Event event = LivepatchEvent("resolve_failed", patch->name, text);
    event.object = callbacks_.NameOf(*object);
    events_->Append(std::move(event));
  }
  ForgetLocked(patch, object);
  return resolved;
}

void PatchRegistry::State::ForgetLocked(Patch* patch, PatchObject* object) {
  object->loaded = nullptr;
  // The program never goes, and who resolved its functions once need not do so again.
  if (object->name.empty()) return;
  loader_->ForgetObject(patch, object);
  std::erase_if(object->functions, [](const PatchFunction& function) { return function.is_added; });
  for (PatchFunction& function : object->functions) {
    function.old.entry = {};
    function.old.slot = nullptr;
    function.old.size = 0;
    if (!function.links_late) continue;
    function.new_body = {};
    function.new_text = {};
  }
  object->added_text.clear();
  object->held.clear();
}

void PatchRegistry::State::KeepLateTextLocked(const PatchObject& object) {
  std::vector<CodeRange>& text = gone_text_[object.name];
  text.insert(text.end(), object.added_text.begin(), object.added_text.end());
  for (const PatchFunction& function : object.functions) {
    if (function.links_late) text.push_back(function.new_text);
  }
}

absl::Status PatchRegistry::State::ResolveHeldLocked(Patch* patch, const std::string& module) {
  for (FunctionSite& held : patch->held) {
    if (held.object != module || !held.entry.is_null()) continue;
    absl::StatusOr<FunctionSite> site =
        loader_->FindFunction(absl::StrCat(module, ":", held.name, ",", std::max(held.sympos, 1u)));
    if (!site.ok()) return site.status();
    held = *std::move(site);
  }
  return absl::OkStatus();
}

// --- coming ---

absl::Status PatchRegistry::State::ModuleComingLocked(mend_object* module) {
  modules_[module->name] = module;
  // The name is free only when the text of the module that had it is.
  gone_text_.erase(module->name);
  units_[module->name] = loader_->UnitFunctions(module->name);
  for (size_t i = 0; i < active_.size(); ++i) {
    Patch* const patch = active_[i];
    PatchObject* const object = FindObject(patch, module->name);
    absl::Status applied;
    if (object != nullptr) {
      applied = ApplyToModuleLocked(patch, object, module);
    } else {
      applied = ResolveHeldLocked(patch, module->name);
    }
    if (applied.ok()) continue;
    LogModule("module_refused", *patch, *module,
              absl::StrCat("patch '", patch->name, "' failed for module '", module->name,
                           "', refusing to load module '", module->name, "'"));
    TakeOffModuleLocked(module, i);
    DropModuleLocked(module);
    return applied;
  }
  // The trampolines that were added, and what they guard.
  if (transition_ != nullptr) PublishAnewLocked();
  return absl::OkStatus();
}

absl::Status PatchRegistry::State::ApplyToModuleLocked(Patch* patch, PatchObject* object,
                                                       mend_object* module) {
  absl::Status applied = ResolveLocked(patch, object, module);
  if (applied.ok()) applied = ResolveHeldLocked(patch, module->name);
  // By now it is known what two names of one function are.
  if (applied.ok()) applied = CheckSetLocked(*patch);
  if (!applied.ok()) {
    LogModule("module_init_failed", *patch, *module,
              absl::StrCat("failed to initialize patch '", patch->name, "' for module '",
                           module->name, "' (", -ErrnoOf(applied).error, ")"));
    return applied;
  }
  LogModule(
      "applying", *patch, *module,
      absl::StrCat("applying patch '", patch->name, "' to loading module '", module->name, "'"));
  applied = callbacks_.PrePatch(*patch, object);
  if (!applied.ok()) return applied;
  applied = HookLocked(patch, object);
  if (!applied.ok()) {
    LogModule("module_apply_failed", *patch, *module,
              absl::StrCat("failed to apply patch '", patch->name, "' to module '", module->name,
                           "' (", -ErrnoOf(applied).error, ")"));
    callbacks_.PostUnpatch(object);
    return applied;
  }
  // In mid-transition that comes with the completion (O4).
  if (!InTransitionLocked(patch)) callbacks_.PostPatch(object);
  return absl::OkStatus();
}

absl::Status PatchRegistry::State::HookLocked(Patch* patch, PatchObject* object) {
  if (InTransitionLocked(patch)) return transition_->HookObject(object);
  PushObject(&table_, object);
  const std::vector<Redirection*> redirections = RedirectionsOf(&table_, *object);
  for (const Redirection* const redirection : redirections) SettleSlot(*redirection);
  absl::Status opened = OpenEntries(host_, redirections);
  if (opened.ok()) return opened;
  PopObject(&table_, object);
  for (const Redirection* const redirection : redirections) SettleSlot(*redirection);
  return opened;
}

// --- going ---

void PatchRegistry::State::ModuleGoingLocked(mend_object* module) {
  TakeOffModuleLocked(module, active_.size());
  DropModuleLocked(module);
}

void PatchRegistry::State::TakeOffModuleLocked(mend_object* module, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Patch* const patch = active_[i];
    PatchObject* const object = FindObject(patch, module->name);
    if (object == nullptr || object->loaded == nullptr) continue;
    if (!InTransitionLocked(patch)) callbacks_.PreUnpatch(object);
    LogModule("reverting", *patch, *module,
              absl::StrCat("reverting patch '", patch->name, "' on unloading module '",
                           module->name, "'"));
    const std::vector<Redirection*> redirections = RedirectionsOf(&table_, *object);
    PopObject(&table_, object);
    for (const Redirection* const redirection : redirections) SettleSlot(*redirection);
    callbacks_.PostUnpatch(object);
  }
}

void PatchRegistry::State::DropModuleLocked(mend_object* module) {
  std::set<CodeAddress> entries;
  for (const std::unique_ptr<Patch>& patch : patches_) {
    for (FunctionSite& held : patch->held) {
      if (held.object != module->name) continue;
      entries.insert(held.entry);
      held.entry = {};
      held.slot = nullptr;
    }
    PatchObject* const object = FindObject(patch.get(), module->name);
    if (object == nullptr || object->loaded == nullptr) continue;
    for (const PatchFunction& function : object->functions) entries.insert(function.old.entry);
    for (const FunctionSite& held : object->held) entries.insert(held.entry);
    KeepLateTextLocked(*object);
    ForgetLocked(patch.get(), object);
  }
  for (const FunctionSite& unit : units_[module->name]) entries.insert(unit.entry);
  units_.erase(module->name);
  if (transition_ != nullptr) transition_->ForgetObject(module);
  std::vector<Redirection*> redirections;
  for (const CodeAddress entry : entries) {
    if (table_.Find(entry) != nullptr) redirections.push_back(table_.Find(entry));
  }
  for (const Redirection* const redirection : redirections) SettleSlot(*redirection);
  CloseEntries(host_, redirections);
  for (const CodeAddress entry : entries) table_.Forget(entry);
  modules_.erase(module->name);
  if (transition_ != nullptr && transition_->published()) PublishAnewLocked();
}

void PatchRegistry::State::PublishAnewLocked() {
  transition_->Publish();
  // A canary that is held sleeps.
  Handshake::Get().WakeCoordinator();
}

absl::Status PatchRegistry::State::CheckTextUnusedLocked(const std::string& module,
                                                         std::vector<CodeRange> text) {
  // A patch's version of a function of the module returns into the module.
  for (const std::unique_ptr<Patch>& patch : patches_) {
    const PatchObject* const object = FindObject(patch.get(), module);
    if (object == nullptr) continue;
    for (const PatchFunction& function : object->functions) text.push_back(function.new_text);
  }
  if (const auto gone = gone_text_.find(module); gone != gone_text_.end()) {
    text.insert(text.end(), gone->second.begin(), gone->second.end());
  }
  LookLocked(std::move(text));
  const bool unused = AwaitLookLocked(kModuleLookNs);
  std::string user = unused ? "" : coordinator_.DescribeStraggler();
  if (transition_ != nullptr) {
    coordinator_.Resume();
    PublishAnewLocked();
  }
  if (unused) {
    gone_text_.erase(module);
    return absl::OkStatus();
  }
  return ErrnoStatus(EBUSY, absl::StrCat("module '", module, "' may still be in use by ", user));
}

// --- states ---

mend_state* PatchRegistry::State::PreviousStateLocked(unsigned long id) {
  if (transition_ == nullptr) {
    if (!warned_of_state_) {
      warned_of_state_ = true;
      events_->Append(MendEvent("misuse", "",
                                "mend_get_prev_state: there is no transition, hence no previous "
                                "state (said once)"));
    }
    return nullptr;
  }
  mend_state* found = nullptr;
  for (const Patch* const patch : older_) {
    for (const SystemState& state : patch->states) {
      if (state.id == id) found = state.record;
    }
  }
  return found;
}

}  // namespace mend
