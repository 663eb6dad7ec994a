// The JSON that the control server answers with: "schema" first, ids as strings, times in ns.
//
// Thread safety: functions without state.
#ifndef MEND_RUNTIME_CONTROL_VIEWS_H_
#define MEND_RUNTIME_CONTROL_VIEWS_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/base/event_log.h"
#include "runtime/control/http.h"
#include "runtime/control/patch_service.h"
#include "runtime/control/refusal.h"
#include "runtime/module/module_registry.h"

namespace mend {

using OrderedJson = nlohmann::ordered_json;

// What this process is; its id is asked for at every use, since a fork changes it.
struct ProgramInfo {
  std::string name;
  std::string executable;
  int64_t start_time_ns = 0;  // CLOCK_REALTIME
  // The objects that a host loaded, as a program image: what patches for them are built against.
  // Empty when the program's executable holds them. Thread-safe; may be null.
  std::function<std::string()> image;
};

OrderedJson ProgramView(const ProgramInfo& program);
OrderedJson StatusView(const ProgramInfo& program, const CoreStatus& status,
                       const TransitionReport& last, const std::vector<ThreadStatus>& threads);
OrderedJson ThreadsView(const std::vector<ThreadStatus>& threads);
OrderedJson ApplyView(const ApplyResult& report);
OrderedJson VerbView(const VerbReport& report);
OrderedJson ModulesView(const std::vector<ModuleStatus>& modules);
// A guest module was loaded or unloaded.
OrderedJson ModuleView(const std::string& module, Outcome outcome);
OrderedJson EventView(const Event& event);
OrderedJson RefusalView(const Refusal& refusal);

// The exit code of a command that had just this outcome (the contract's table).
int ExitCodeOf(Outcome outcome);

// The text of a document, a line of its own. Bytes that are no UTF-8 (names of threads, say) are
// replaced.
std::string ToText(const OrderedJson& document);
HttpResponse JsonAnswer(const OrderedJson& document, int status = 200);
// REQUIRES: !status.ok()
HttpResponse RefusalAnswer(const absl::Status& status);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_VIEWS_H_
