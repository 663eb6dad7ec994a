#include "jit/program/ending_modules.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "jit/program/hosted_program.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* dso) noexcept;

namespace mend::jit {
namespace {

using Modules = std::vector<HostedProgram*>;

std::vector<const HostedProgram*> ScopeOf(const HostedProgram& module) {
  return module.parent->guests.Scope(module);
}

// In the dynamic linker's order: what the opening of a module brings comes behind it, breadth
// first. `constructed`: the other way round, what is needed first.
Modules InOrderOfLoad(const Modules& constructed) {
  Modules order;
  const auto append = [&](const HostedProgram* module) {
    const auto it = std::find(constructed.begin(), constructed.end(), module);
    if (it == constructed.end() || std::ranges::count(order, *it) != 0) return;
    order.push_back(*it);
  };
  for (const HostedProgram* const module : constructed) {
    const HostedProgram* const bringer = module->parent->guests.Find(module->brought_by);
    const HostedProgram* const root = bringer != nullptr ? bringer : module;
    for (const HostedProgram* const one : ScopeOf(*root)) {
      if (one == root || root == module->parent->guests.Find(one->brought_by)) append(one);
    }
    append(module);
  }
  return order;
}

// As the dynamic linker sorts: depth first from the last one loaded, whatever is done going in
// front.
class EndOrder {
 public:
  explicit EndOrder(Modules loaded) : loaded_(std::move(loaded)) {}

  Modules Sort() {
    for (auto it = loaded_.rbegin(); it != loaded_.rend(); ++it) Visit(*it);
    std::reverse(last_to_first_.begin(), last_to_first_.end());
    return std::move(last_to_first_);
  }

 private:
  void Visit(HostedProgram* module) {
    if (!seen_.insert(module).second) return;
    for (const HostedProgram* const needed : ScopeOf(*module)) VisitIfEnding(needed);
    for (const HostedProgram* const used : module->parent->guests.UsedBy(*module)) {
      VisitIfEnding(used);
    }
    last_to_first_.push_back(module);
  }
  void VisitIfEnding(const HostedProgram* module) {
    const auto it = std::find(loaded_.begin(), loaded_.end(), module);
    if (it != loaded_.end()) Visit(*it);
  }

  const Modules loaded_;
  std::set<const HostedProgram*> seen_;
  Modules last_to_first_;
};

}  // namespace

EndingModules::~EndingModules() {
  if (registered_ != nullptr) *registered_ = nullptr;
}

void EndingModules::RunAtExit() {
  if (registered_ != nullptr) return;
  registered_ = new EndingModules*(this);
  const auto end = [](void* registered) {
    const std::unique_ptr<EndingModules*> self(static_cast<EndingModules**>(registered));
    if (*self == nullptr) return;
    (*self)->registered_ = nullptr;
    (*self)->RunAll();
  };
  __cxa_atexit(end, static_cast<void*>(registered_), nullptr);
}

void EndingModules::Add(HostedProgram* module) {
  MutexLock lock(&mu_);
  modules_.push_back(module);
}

bool EndingModules::Remove(HostedProgram* module) {
  MutexLock lock(&mu_);
  return std::erase(modules_, module) != 0;
}

void EndingModules::RunAll() {
  Modules constructed;
  {
    MutexLock lock(&mu_);
    constructed.assign(modules_.rbegin(), modules_.rend());
  }
  for (HostedProgram* const module : EndOrder(InOrderOfLoad(constructed)).Sort()) {
    // A destructor may have closed it.
    if (Remove(module)) module->initializers.RunDestructors();
  }
}

}  // namespace mend::jit
