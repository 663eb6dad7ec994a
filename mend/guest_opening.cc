#include "mend/guest_opening.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "jit/session.h"
#include "mend/needed_modules.h"
#include "mend/open_libraries.h"

namespace mend {
namespace {

// The process's own wish comes first, as for the native loader, which reads it when it starts.
bool BindsLazily(int flags) {
  static const bool binds_now = [] {
    const char* const wish = getenv("LD_BIND_NOW");
    return wish != nullptr && *wish != '\0';
  }();
  return (flags & RTLD_NOW) == 0 && !binds_now;
}

// A guest module that one opening is about.
struct Opening {
  GuestFile file;
  bool is_open = false;  // then what it needs is, too
  bool binds_now = false;
  bool stays = false;
  std::vector<size_t> needed;  // places
  std::string name;            // under which it is loaded
};

// The module and those that it was linked with and that the program has not taken in, breadth
// first.
std::vector<Opening> CollectNeeded(Opening first) {
  std::vector<Opening> openings = {std::move(first)};
  for (size_t i = 0; i < openings.size(); ++i) {
    if (i > 0) openings[i].is_open = Libraries().HasPath(openings[i].file.path);
    if (openings[i].is_open) continue;
    const NeededModules needed =
        ReadNeededModules(openings[i].file.path, openings[i].file.contents);
    openings[i].binds_now = needed.binds_now;
    openings[i].stays = needed.stays;
    for (const std::string& name : needed.names) {
      if (IsPartOfProgram(name)) continue;
      std::optional<GuestFile> found = FindGuestModule(name, needed.folders);
      // Without it, linking says which symbols are missing.
      if (!found) continue;
      size_t place = 0;
      while (place < openings.size() && openings[place].file.path != found->path) ++place;
      if (place == openings.size()) openings.push_back({.file = *std::move(found)});
      if (place != i) openings[i].needed.push_back(place);
    }
  }
  std::set<std::string> taken = {openings.front().name};
  for (Opening& opening : openings) {
    if (opening.name.empty()) opening.name = Libraries().NameFor(opening.file.path, taken);
    taken.insert(opening.name);
  }
  return openings;
}

// The places in the order in which the native loader initialises: from the last one on, each after
// those that it needs, and the module that is opened (the first) at the end.
std::vector<size_t> InitializationOrder(const std::vector<Opening>& openings) {
  std::vector<size_t> order;
  std::vector<bool> seen(openings.size());
  const std::function<void(size_t)> visit = [&](size_t place) {
    if (seen[place]) return;
    seen[place] = true;
    for (const size_t needed : openings[place].needed) visit(needed);
    order.push_back(place);
  };
  for (size_t i = openings.size(); i > 0; --i) visit(i - 1);
  std::erase(order, size_t{0});
  order.push_back(0);
  return order;
}

// Whether it needs, directly or not, one that is linked after it.
bool NeedsLaterOne(const std::vector<Opening>& openings, const std::vector<size_t>& order,
                   size_t place) {
  const auto own = std::find(order.begin(), order.end(), place);
  std::set<size_t> reached;
  const std::function<void(size_t)> visit = [&](size_t at) {
    for (const size_t needed : openings[at].needed) {
      if (reached.insert(needed).second) visit(needed);
    }
  };
  visit(place);
  return std::any_of(own + 1, order.end(), [&](size_t later) { return reached.contains(later); });
}

// What libraries and later modules see of it; before its constructors run, which may open who needs
// it.
void ShowToAll(GuestModule* module, const std::string& name) {
  jit::Session::MakeGlobal(*module);
  Libraries().Show(module, name);
}

// `wanted`: what the caller wants with the first one, whose name and source are filled in here.
std::vector<ModuleRequest> RequestsFor(const std::vector<Opening>& openings,
                                       const ModuleRequest& wanted, int flags) {
  const std::vector<size_t> order = InitializationOrder(openings);
  std::vector<size_t> position(openings.size());
  for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::vector<ModuleRequest> requests;
  for (const size_t place : order) {
    const Opening& opening = openings[place];
    ModuleRequest request = place == 0 ? wanted : ModuleRequest{.references = 0};
    request.name = opening.name;
    request.source = {.path = opening.file.path, .file = opening.file.name};
    if (place != 0) request.source.brought_by = openings.front().name;
    // A reference that nobody gives back. What an operator loads is the operator's to unload.
    if (opening.stays && !request.by_operator) ++request.references;
    request.must_be_open = opening.is_open;
    if (!opening.is_open) {
      request.source.bytes = std::string(opening.file.contents);
      const bool lazily = BindsLazily(flags) && !opening.binds_now;
      // Functions alone can wait for those that come later.
      request.bind_now = !lazily && NeedsLaterOne(openings, order, place);
      if (lazily || request.bind_now) request.source.lazy_name = opening.file.name;
    }
    for (const size_t needed : opening.needed) {
      request.source.needed.push_back(openings[needed].name);
      request.needs.push_back(position[needed]);
    }
    if ((flags & RTLD_GLOBAL) != 0) {
      request.linked = [name = opening.name](GuestModule* linked) { ShowToAll(linked, name); };
    }
    request.is_unused = [](const GuestModule* module) {
      return !jit::Session::HasThreadEnds(*module) && Libraries().Hide(module);
    };
    requests.push_back(std::move(request));
  }
  for (const size_t place : order) {
    for (const size_t needed : openings[place].needed) ++requests[position[needed]].references;
  }
  return requests;
}

// How many of the references that a request took are one of the program or of a new module: others
// may have opened a module meanwhile that was to need it.
unsigned ReferencesInUse(const std::vector<ModuleRequest>& requests,
                         const std::vector<OpenedModule>& opened, size_t at) {
  unsigned unused = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<size_t>& needs = requests[i].needs;
    if (!opened[i].is_new) {
      unused += static_cast<unsigned>(std::count(needs.begin(), needs.end(), at));
    }
  }
  return requests[at].references - unused;
}

absl::Status CloseReference(const GuestModule* module, Host& host) {
  if (Libraries().Close(module) &&
      (!Libraries().Hide(module) || jit::Session::HasThreadEnds(*module))) {
    Libraries().Keep(module, &host);
    return absl::OkStatus();
  }
  return host.modules().Close(module);
}

// Closes what modules needed that have gone.
void CloseReleased(Host& host) {
  for (auto released = host.modules().TakeReleased(); !released.empty();
       released = host.modules().TakeReleased()) {
    for (const GuestModule* const module : released) CloseReference(module, host).IgnoreError();
  }
}

// The first one last. ABORTED: another thread has just closed one of those that were open.
absl::StatusOr<std::vector<OpenedModule>> OpenAll(const Opening& first, const ModuleRequest& wanted,
                                                  int flags) {
  const std::vector<ModuleRequest> requests = RequestsFor(CollectNeeded(first), wanted, flags);
  Host& host = *Host::Get();
  absl::StatusOr<std::vector<OpenedModule>> opened = host.modules().OpenTogether(requests);
  if (!opened.ok()) {
    if (!absl::IsAborted(opened.status())) CloseReleased(host);
    return opened;
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const ModuleRequest& request = requests[i];
    const unsigned references = ReferencesInUse(requests, *opened, i);
    GuestModule* const module = (*opened)[i].module;
    if (references != 0) {
      Libraries().Opened(module, request.source.path, request.name, (flags & RTLD_GLOBAL) != 0,
                         references);
    }
    if (references != request.references) {
      host.modules().Close(module, request.references - references).IgnoreError();
    }
  }
  CloseReleased(host);
  if ((flags & RTLD_GLOBAL) != 0) ShowToAll(opened->back().module, requests.back().name);
  return opened;
}

}  // namespace

absl::StatusOr<GuestModule*> OpenGuest(const GuestFile& file, int flags) {
  for (;;) {
    const bool is_open = Libraries().HasPath(file.path);
    if ((flags & RTLD_NOLOAD) != 0 && !is_open) return nullptr;
    const absl::StatusOr<std::vector<OpenedModule>> opened =
        OpenAll({.file = file, .is_open = is_open},
                {.references = (flags & RTLD_NODELETE) != 0 ? 2U : 1U}, flags);
    if (opened.ok()) return opened->back().module;
    if (!absl::IsAborted(opened.status())) return opened.status();
  }
}

absl::Status CloseGuest(const GuestModule* module, Host& host) {
  // In a livepatch callback it stays open, and may be closed later.
  if (host.registry().InCallback()) return host.modules().Close(module);
  absl::Status closed = CloseReference(module, host);
  CloseReleased(host);
  return closed;
}

absl::StatusOr<bool> LoadForOperator(const std::string& name, const ModuleSource& source,
                                     const ParameterValues& parameters) {
  // The bytes are those that the operator's tool has read; the process may have another root.
  const Opening first = {
      .file = {.name = source.path, .path = RealPath(source.path), .contents = source.bytes},
      .name = name};
  const ModuleRequest wanted = {.references = 0, .by_operator = true, .parameters = parameters};
  for (;;) {
    if (Host::Get()->modules().HasLoaded(name, source)) return false;
    const absl::StatusOr<std::vector<OpenedModule>> opened = OpenAll(first, wanted, RTLD_NOW);
    if (opened.ok()) return true;
    if (!absl::IsAborted(opened.status())) return opened.status();
  }
}

absl::StatusOr<bool> UnloadForOperator(const std::string& name) {
  Host& host = *Host::Get();
  absl::StatusOr<bool> unloaded = host.modules().Unload(name);
  CloseReleased(host);
  return unloaded;
}

}  // namespace mend
