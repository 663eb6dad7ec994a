#include "jit/program/hosted_program.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/format/function_request.h"
#include "runtime/format/object_description.h"
#include "runtime/safepoint/thread_state.h"

namespace mend::jit {

const HostedSymbol* FindGlobalFor(const HostedProgram& object, std::string_view name) {
  const HostedSymbol* const own = object.index.FindGlobal(name);
  if (own != nullptr || object.parent == nullptr) return own;
  return object.parent->index.FindGlobal(name);
}

uintptr_t ReferenceAddress(const HostedProgram& object, const HostedSymbol& definition) {
  const HostedProgram& program = object.parent == nullptr ? object : *object.parent;
  const auto detour = program.detours.find(definition.name);
  if (detour == program.detours.end()) return definition.address;
  // A module's own function of that name is the module's.
  return program.index.FindGlobal(definition.name) == &definition ? detour->second
                                                                  : definition.address;
}

std::optional<uintptr_t> BindToGlobalModule(const HostedProgram& object, std::string_view name,
                                            std::optional<uintptr_t> elsewhere) {
  if (object.parent == nullptr) return elsewhere;
  GuestTable& guests = object.parent->guests;
  const HostedSymbol* const found = guests.FindFor(object, name);
  if (found == nullptr || (elsewhere && *elsewhere != found->address)) return elsewhere;
  // A patch's own code would not keep the module.
  if (!object.version.empty()) return std::nullopt;
  const HostedSymbol* const bound = guests.BindFor(object, name);
  if (bound == nullptr) return std::nullopt;
  return bound->address;
}

std::optional<intptr_t> FindThreadLocal(const HostedProgram& program, uint32_t unit,
                                        const std::string& name) {
  if (name == kPollName) return ThreadWordsOffset();
  if (const auto own = program.thread_locals.Find(unit, name)) return own;
  if (program.parent != nullptr) {
    if (const auto its = program.parent->thread_locals.FindGlobal(name)) return its;
  }
  return program.host.FindThreadLocal(name);
}

absl::StatusOr<FunctionSite> FindHostedFunction(const HostedProgram& program,
                                                const std::string& request) {
  const std::string object(ParseFunctionRequest(request).object);
  const HostedProgram* const hosted = object.empty() ? &program : program.guests.Find(object);
  if (hosted == nullptr) {
    return absl::NotFoundError(absl::StrCat("no object named ", object, " is loaded"));
  }
  absl::StatusOr<const HostedSymbol*> found = hosted->index.FindFunction(request);
  if (!found.ok()) return found.status();
  return hosted->index.Site(**found);
}

std::vector<FunctionSite> UnitFunctions(const HostedProgram& program) {
  std::vector<FunctionSite> sites;
  for (const auto& [begin, size] : program.unit_tables) {
    const auto* const entries = reinterpret_cast<const uintptr_t*>(begin);
    for (size_t i = 0; i < size / sizeof(uintptr_t); ++i) {
      const HostedSymbol* const function = program.index.FindEntry(CodeAddress{entries[i]});
      if (function != nullptr) sites.push_back(program.index.Site(*function));
    }
  }
  return sites;
}

void GuestTable::Add(const std::string& name, const HostedProgram* guest) {
  const MutexLock lock(&mu_);
  guests_[name] = guest;
  for (const std::string& needed : guest->needed) AddGlobalLocked(needed).users.insert(guest);
}

void GuestTable::Remove(const std::string& name) {
  const MutexLock lock(&mu_);
  guests_.erase(name);
  std::erase_if(globals_, [&name](const Global& global) { return global.name == name; });
}

GuestTable::Global& GuestTable::AddGlobalLocked(const std::string& name) {
  const auto known = FindModuleLocked(name);
  if (known != globals_.end()) return *known;
  return globals_.emplace_back(Global{.name = name});
}

void GuestTable::MakeGlobal(const std::string& name) {
  const MutexLock lock(&mu_);
  for (const std::string& of_scope : ScopeLocked({name})) MakeOneGlobalLocked(of_scope);
}

void GuestTable::MakeOneGlobalLocked(const std::string& name) {
  const auto known = FindModuleLocked(name);
  if (known != globals_.end() && known->serves_all) return;
  // Behind those that are global already.
  Global global = known == globals_.end() ? Global{.name = name} : std::move(*known);
  if (known != globals_.end()) globals_.erase(known);
  global.serves_all = true;
  globals_.push_back(std::move(global));
}

std::vector<GuestTable::Global>::iterator GuestTable::FindModuleLocked(std::string_view name) {
  return std::find_if(globals_.begin(), globals_.end(),
                      [name](const Global& global) { return global.name == name; });
}

std::vector<std::string> GuestTable::ScopeLocked(const std::vector<std::string>& first) const {
  std::vector<std::string> names;
  const auto add = [&names](const std::vector<std::string>& more) {
    for (const std::string& name : more) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  };
  add(first);
  for (size_t i = 0; i < names.size(); ++i) {
    if (const auto found = guests_.find(names[i]); found != guests_.end()) {
      add(found->second->needed);
    }
  }
  return names;
}

std::pair<const HostedSymbol*, std::string> GuestTable::FindForLocked(
    const HostedProgram& user, std::string_view symbol) const {
  std::vector<std::string> names;
  for (const Global& global : globals_) {
    if (global.serves_all) names.push_back(global.name);
  }
  if (!user.needed.empty()) {
    for (std::string& name : ScopeLocked(user.needed)) names.push_back(std::move(name));
  }
  for (std::string& name : names) {
    const auto guest = guests_.find(name);
    // One that is to be linked together with the user.
    if (guest == guests_.end()) continue;
    const HostedSymbol* const found = guest->second->index.FindGlobal(symbol);
    if (found != nullptr && !found->is_hidden) return {found, std::move(name)};
  }
  return {nullptr, ""};
}

const HostedSymbol* GuestTable::FindFor(const HostedProgram& user, std::string_view symbol) const {
  const MutexLock lock(&mu_);
  return FindForLocked(user, symbol).first;
}

const HostedSymbol* GuestTable::BindFor(const HostedProgram& user, std::string_view symbol) {
  const MutexLock lock(&mu_);
  const auto [found, name] = FindForLocked(user, symbol);
  if (found != nullptr && guests_.at(name) != &user) AddGlobalLocked(name).users.insert(&user);
  return found;
}

void GuestTable::ForgetUser(const HostedProgram& user) {
  const MutexLock lock(&mu_);
  for (Global& global : globals_) global.users.erase(&user);
}

std::vector<const HostedProgram*> GuestTable::Scope(const HostedProgram& guest) const {
  const MutexLock lock(&mu_);
  std::vector<const HostedProgram*> scope = {&guest};
  for (const std::string& name : ScopeLocked(guest.needed)) {
    const auto found = guests_.find(name);
    if (found != guests_.end() && found->second != &guest) scope.push_back(found->second);
  }
  return scope;
}

std::vector<const HostedProgram*> GuestTable::ScopeOfBringer(const HostedProgram& guest) const {
  const HostedProgram* const bringer = Find(guest.brought_by);
  if (bringer == nullptr) return Scope(guest);
  std::vector<const HostedProgram*> scope = Scope(*bringer);
  // Another one has the name by now.
  if (std::find(scope.begin(), scope.end(), &guest) == scope.end()) return Scope(guest);
  return scope;
}

std::vector<const HostedProgram*> GuestTable::UsedBy(const HostedProgram& user) const {
  const MutexLock lock(&mu_);
  std::vector<const HostedProgram*> used;
  for (const Global& global : globals_) {
    const auto guest = guests_.find(global.name);
    if (guest != guests_.end() && global.users.contains(&user)) used.push_back(guest->second);
  }
  return used;
}

std::vector<std::string> GuestTable::Globals() const {
  const MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const Global& global : globals_) names.push_back(global.name);
  return names;
}

bool GuestTable::BindModule(const std::string& name) {
  const MutexLock lock(&mu_);
  const auto global = FindModuleLocked(name);
  if (global == globals_.end()) return false;
  global->is_bound = true;
  return true;
}

bool GuestTable::Retire(const std::string& name) {
  const MutexLock lock(&mu_);
  const auto global = FindModuleLocked(name);
  if (global == globals_.end()) return true;
  if (global->is_bound || !global->users.empty()) return false;
  globals_.erase(global);
  return true;
}

const HostedProgram* GuestTable::Find(const std::string& name) const {
  const MutexLock lock(&mu_);
  const auto found = guests_.find(name);
  return found == guests_.end() ? nullptr : found->second;
}

const HostedProgram* GuestTable::FindByCode(CodeAddress pc) const {
  const MutexLock lock(&mu_);
  for (const auto& [name, guest] : guests_) {
    if (guest->index.HasFunctionAt(pc)) return guest;
  }
  return nullptr;
}

const char* GuestTable::FileAt(uintptr_t address) const {
  const MutexLock lock(&mu_);
  const CodeAddress place{address};
  for (const auto& [name, guest] : guests_) {
    const bool is_data = std::any_of(guest->data.begin(), guest->data.end(),
                                     [&](const CodeRange& range) { return range.Contains(place); });
    if (is_data || guest->index.HasFunctionAt(place)) return guest->file.c_str();
  }
  return nullptr;
}

std::string GuestTable::Describe(CodeAddress pc) const {
  const MutexLock lock(&mu_);
  for (const auto& [name, guest] : guests_) {
    std::string description = guest->index.Describe(pc);
    if (!description.empty()) return description;
  }
  return "";
}

std::vector<FunctionSite> GuestTable::Functions() const {
  const MutexLock lock(&mu_);
  std::vector<FunctionSite> sites;
  for (const auto& [name, guest] : guests_) {
    for (const HostedSymbol* function : guest->index.Functions()) {
      sites.push_back(guest->index.Site(*function));
    }
  }
  return sites;
}

}  // namespace mend::jit
