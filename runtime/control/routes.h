// ControlRoutes: what the control socket answers to which request. Every route is here; the
// transport is ControlServer's and the HTTP module's.
//
// Thread safety: Handle is thread-safe.
#ifndef MEND_RUNTIME_CONTROL_ROUTES_H_
#define MEND_RUNTIME_CONTROL_ROUTES_H_

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/base/event_log.h"
#include "runtime/control/attribute_tree.h"
#include "runtime/control/http.h"
#include "runtime/control/patch_service.h"
#include "runtime/control/views.h"
#include "runtime/module/module_registry.h"

namespace mend {

// How modules come and go on an operator's word, as ModuleRegistry has it; empty: by that.
struct ModuleVerbs {
  std::function<absl::StatusOr<bool>(const std::string& name, const ModuleSource& source,
                                     const ParameterValues& parameters)>
      load;
  std::function<absl::StatusOr<bool>(const std::string& name)> unload;
};

class ControlRoutes : public HttpHandler {
 public:
  // All must outlive the routes. `modules` may be null: the process hosts no guest modules.
  ControlRoutes(ProgramInfo program, PatchService* service, EventLog* events,
                ModuleRegistry* modules = nullptr, ModuleVerbs verbs = {});

  HttpResponse Handle(const HttpRequest& request) override;

  // Ends the event streams, within a second.
  void Shutdown();

 private:
  absl::StatusOr<HttpResponse> Route(const HttpRequest& request);
  absl::StatusOr<HttpResponse> GetRoute(const HttpRequest& request);
  absl::StatusOr<HttpResponse> PostRoute(const HttpRequest& request);
  absl::StatusOr<HttpResponse> PutAttribute(const HttpRequest& request);
  absl::StatusOr<HttpResponse> GetModules(const HttpRequest& request);
  absl::StatusOr<HttpResponse> GetAttribute(const std::string& path);
  absl::StatusOr<HttpResponse> Apply(const HttpRequest& request);
  absl::StatusOr<HttpResponse> PatchVerb(const HttpRequest& request, const std::string& patch,
                                         const std::string& verb);
  absl::StatusOr<HttpResponse> Revert(const HttpRequest& request);
  absl::StatusOr<HttpResponse> LoadModule(const HttpRequest& request);
  absl::StatusOr<HttpResponse> UnloadModule(const HttpRequest& request, const std::string& name);
  absl::StatusOr<HttpResponse> Wait(const HttpRequest& request);
  absl::StatusOr<HttpResponse> Events(const HttpRequest& request);

  const ProgramInfo program_;
  PatchService* const service_;
  EventLog* const events_;
  ModuleRegistry* const modules_;
  const ModuleVerbs verbs_;
  const AttributeTree tree_;
  std::atomic<bool> shutdown_ = false;  // a flag of its own: nothing is published through it
};

// The program that this process is: its name, or the executable's base name when that is empty.
ProgramInfo ThisProgram(const std::string& name);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_ROUTES_H_
