#include "runtime/control/routes.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <initializer_list>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "runtime/base/address_space.h"
#include "runtime/control/metrics.h"

namespace mend {
namespace {

constexpr absl::Duration kKeepAlive = absl::Seconds(15);
constexpr absl::Duration kWaitMax = absl::Minutes(10);
constexpr absl::Duration kSlice = absl::Milliseconds(100);  // in which Shutdown is noticed

HttpResponse TextAnswer(std::string text, const char* type = "text/plain; charset=utf-8") {
  HttpResponse response;
  response.body = std::move(text);
  response.content_type = type;
  return response;
}

int StatusOf(Outcome outcome) {
  return outcome == Outcome::kMigrating ? 202 : outcome == Outcome::kReversed ? 504 : 200;
}

// Typed access to a query; it remembers the first thing that was wrong.
class Query {
 public:
  Query(const HttpRequest& request, std::initializer_list<const char*> known) : request_(request) {
    for (const auto& [key, value] : request.query) {
      const bool found = std::any_of(known.begin(), known.end(),
                                     [&key = key](const char* name) { return key == name; });
      if (!found) Fail(absl::StrCat("unknown parameter '", key, "'"));
    }
  }

  std::string String(const char* key, const std::string& fallback) const {
    for (const auto& [name, value] : request_.query) {
      if (name == key) return value;
    }
    return fallback;
  }

  // Every `param=NAME=VALUE`.
  ParameterValues Parameters() {
    ParameterValues values;
    for (const auto& [name, value] : request_.query) {
      if (name != "param") continue;
      const size_t equals = value.find('=');
      if (equals == 0 || equals == std::string::npos) {
        Fail(absl::StrCat("parameter '", value, "' is no NAME=VALUE"));
      } else {
        values.emplace_back(value.substr(0, equals), value.substr(equals + 1));
      }
    }
    return values;
  }

  bool Bool(const char* key) {
    const std::string value = String(key, "0");
    if (value != "0" && value != "1") Fail(absl::StrCat("parameter '", key, "' is 0 or 1"));
    return value == "1";
  }

  uint64_t Number(const char* key, uint64_t fallback) {
    uint64_t number = fallback;
    const std::string value = String(key, "");
    if (!value.empty() && !absl::SimpleAtoi(value, &number)) {
      Fail(absl::StrCat("parameter '", key, "' is a number"));
    }
    return number;
  }

  void Fail(const std::string& message) {
    if (status_.ok()) status_ = ErrnoStatus(EINVAL, message);
  }

  const absl::Status& status() const { return status_; }

 private:
  const HttpRequest& request_;
  absl::Status status_;
};

WaitPolicy ReadWaitPolicy(Query* query) {
  WaitPolicy policy;
  const uint64_t timeout_ns = query->Number("timeout_ns", 30'000'000'000);
  policy.timeout = std::min(absl::Nanoseconds(static_cast<double>(timeout_ns)), absl::Hours(24));
  policy.no_wait = query->Bool("no_wait");
  const std::string on_timeout = query->String("on_timeout", "reverse");
  if (on_timeout == "wait") {
    policy.on_timeout = TimeoutPolicy::kWait;
  } else if (on_timeout == "force") {
    policy.on_timeout = TimeoutPolicy::kForce;
  } else if (on_timeout != "reverse") {
    query->Fail("parameter 'on_timeout' is reverse, wait or force");
  }
  return policy;
}

// Is the path within the attribute tree?
bool IsAttributePath(const std::string& path) {
  for (const char* root : {"/livepatch", "/module", "/threads/"}) {
    if (absl::StartsWith(path, root)) return true;
  }
  return path == "/";
}

absl::Status NoSuchResource(const HttpRequest& request) {
  const std::string what = request.method == "GET" || request.method == "PUT"
                               ? absl::StrCat("'", request.path, "'")
                               : absl::StrCat(request.method, " ", request.path);
  return ErrnoStatus(ENOENT, absl::StrCat("there is no ", what));
}

}  // namespace

ControlRoutes::ControlRoutes(ProgramInfo program, PatchService* service, EventLog* events,
                             ModuleRegistry* modules, ModuleVerbs verbs)
    : program_(std::move(program)),
      service_(service),
      events_(events),
      modules_(modules),
      verbs_(std::move(verbs)),
      tree_(service->registry(), modules, program_.name) {}

void ControlRoutes::Shutdown() { shutdown_.store(true, std::memory_order_relaxed); }

HttpResponse ControlRoutes::Handle(const HttpRequest& request) {
  absl::StatusOr<HttpResponse> response = Route(request);
  return response.ok() ? *std::move(response) : RefusalAnswer(response.status());
}

absl::StatusOr<HttpResponse> ControlRoutes::Route(const HttpRequest& request) {
  if (request.method == "GET" || request.method == "HEAD") return GetRoute(request);
  if (request.method == "POST") return PostRoute(request);
  if (request.method == "PUT") return PutAttribute(request);
  return ErrnoStatus(EPERM, absl::StrCat("method ", request.method, " is not supported"));
}

absl::StatusOr<HttpResponse> ControlRoutes::GetRoute(const HttpRequest& request) {
  PatchRegistry* const registry = service_->registry();
  const std::string& path = request.path;
  if (path == "/program") return JsonAnswer(ProgramView(program_));
  if (path == "/program/image" && program_.image != nullptr) {
    std::string image = program_.image();
    if (!image.empty()) return TextAnswer(std::move(image), "application/octet-stream");
  }
  if (path == "/status") {
    return JsonAnswer(
        StatusView(program_, registry->Status(), registry->LastTransition(), registry->Threads()));
  }
  if (path == "/threads") return JsonAnswer(ThreadsView(registry->Threads()));
  if (path == "/metrics") {
    return TextAnswer(MetricsText(registry->Status(), registry->LastTransition()),
                      kMetricsContentType);
  }
  if (path == "/transition/wait") return Wait(request);
  if (path == "/events") return Events(request);
  if (modules_ != nullptr && absl::StartsWith(path, "/modules")) return GetModules(request);
  if (IsAttributePath(path)) return GetAttribute(path);
  return NoSuchResource(request);
}

absl::StatusOr<HttpResponse> ControlRoutes::GetModules(const HttpRequest& request) {
  const std::vector<std::string> segments = absl::StrSplit(request.path, '/', absl::SkipEmpty());
  if (segments[0] != "modules") return NoSuchResource(request);
  if (segments.size() == 1) return JsonAnswer(ModulesView(modules_->Status()));
  if (segments.size() != 3 || segments[2] != "file") return NoSuchResource(request);
  absl::StatusOr<std::string> file = modules_->File(segments[1]);
  if (!file.ok()) return file.status();
  return TextAnswer(*std::move(file), "application/octet-stream");
}

absl::StatusOr<HttpResponse> ControlRoutes::GetAttribute(const std::string& path) {
  if (path.back() != '/') {
    absl::StatusOr<std::string> value = tree_.Get(path);
    if (!value.ok()) return value.status();
    return TextAnswer(*value + "\n");
  }
  const absl::StatusOr<std::vector<std::string>> names = tree_.List(path);
  if (!names.ok()) return names.status();
  std::string text;
  for (const std::string& name : *names) absl::StrAppend(&text, name, "\n");
  return TextAnswer(std::move(text));
}

absl::StatusOr<HttpResponse> ControlRoutes::PutAttribute(const HttpRequest& request) {
  if (!IsAttributePath(request.path)) return NoSuchResource(request);
  const absl::Status written = tree_.Set(request.path, request.body);
  if (!written.ok()) return written;
  HttpResponse response = TextAnswer("");
  response.status = 204;
  return response;
}

absl::StatusOr<HttpResponse> ControlRoutes::PostRoute(const HttpRequest& request) {
  // Nothing below can go back when memory is refused in the middle.
  absl::Status may_map = CheckAddressSpace(kRequestAddressSpace, "a request");
  if (!may_map.ok()) return may_map;
  const std::vector<std::string> segments = absl::StrSplit(request.path, '/', absl::SkipEmpty());
  if (segments.empty()) return NoSuchResource(request);
  if (segments[0] == "patches" && segments.size() == 1) return Apply(request);
  if (segments[0] == "revert" && segments.size() == 1) return Revert(request);
  if (segments[0] == "patches" && segments.size() == 3) {
    return PatchVerb(request, segments[1], segments[2]);
  }
  if (modules_ != nullptr && segments[0] == "modules") {
    if (segments.size() == 1) return LoadModule(request);
    if (segments.size() == 3 && segments[2] == "unload") return UnloadModule(request, segments[1]);
  }
  return NoSuchResource(request);
}

absl::StatusOr<HttpResponse> ControlRoutes::Revert(const HttpRequest& request) {
  Query query(request, {"timeout_ns", "on_timeout", "no_wait"});
  const WaitPolicy wait = ReadWaitPolicy(&query);
  if (!query.status().ok()) return query.status();
  const absl::StatusOr<VerbReport> report = service_->Revert(wait);
  if (!report.ok()) return report.status();
  return JsonAnswer(VerbView(*report), StatusOf(report->outcome));
}

absl::StatusOr<HttpResponse> ControlRoutes::LoadModule(const HttpRequest& request) {
  Query query(request, {"name", "path", "param"});
  const std::string name = query.String("name", "");
  const ModuleSource source = {.path = query.String("path", name),
                               .bytes = std::string(request.body)};
  const ParameterValues parameters = query.Parameters();
  if (name.empty()) query.Fail("parameter 'name' is missing");
  // Without bytes the loader would read the path: this process' file, at anybody's choice.
  if (source.bytes.empty()) query.Fail("the module is empty");
  if (!query.status().ok()) return query.status();
  const absl::StatusOr<bool> loaded = verbs_.load != nullptr
                                          ? verbs_.load(name, source, parameters)
                                          : modules_->Load(name, source, parameters);
  if (!loaded.ok()) return loaded.status();
  return JsonAnswer(ModuleView(name, *loaded ? Outcome::kComplete : Outcome::kNothingToDo));
}

absl::StatusOr<HttpResponse> ControlRoutes::UnloadModule(const HttpRequest& request,
                                                         const std::string& name) {
  const Query query(request, {});
  if (!query.status().ok()) return query.status();
  const absl::StatusOr<bool> unloaded =
      verbs_.unload != nullptr ? verbs_.unload(name) : modules_->Unload(name);
  if (!unloaded.ok()) return unloaded.status();
  return JsonAnswer(ModuleView(name, *unloaded ? Outcome::kComplete : Outcome::kNothingToDo));
}

absl::StatusOr<HttpResponse> ControlRoutes::Apply(const HttpRequest& request) {
  Query query(request, {"timeout_ns", "on_timeout", "no_wait", "dry_run", "persist", "param",
                        "allow_inlined", "canary"});
  ApplyOptions options;
  options.wait = ReadWaitPolicy(&query);
  options.dry_run = query.Bool("dry_run");
  options.persist = query.Bool("persist");
  options.allow_inlined = query.Bool("allow_inlined");
  options.parameters = query.Parameters();
  if (const std::string canary = query.String("canary", ""); !canary.empty()) {
    absl::StatusOr<CanarySpec> spec = ParseCanary(canary);
    if (!spec.ok()) return spec.status();
    options.canary = *std::move(spec);
  }
  if (!query.status().ok()) return query.status();
  const absl::StatusOr<ApplyResult> report = service_->Apply(request.body, options);
  if (!report.ok()) return report.status();
  return JsonAnswer(ApplyView(*report), StatusOf(report->outcome));
}

absl::StatusOr<HttpResponse> ControlRoutes::PatchVerb(const HttpRequest& request,
                                                      const std::string& patch,
                                                      const std::string& verb) {
  Query query(request, {"timeout_ns", "on_timeout", "no_wait"});
  const WaitPolicy wait = ReadWaitPolicy(&query);
  if (!query.status().ok()) return query.status();
  absl::StatusOr<VerbReport> report = NoSuchResource(request);
  if (verb == "disable") report = service_->Disable(patch, wait);
  if (verb == "enable") report = service_->Enable(patch, wait);
  if (verb == "promote") report = service_->Promote(patch, wait);
  if (verb == "reverse") report = service_->Reverse(patch);
  if (verb == "force") report = service_->Force(patch);
  if (verb == "remove") report = service_->Remove(patch);
  if (!report.ok()) return report.status();
  return JsonAnswer(VerbView(*report), StatusOf(report->outcome));
}

absl::StatusOr<HttpResponse> ControlRoutes::Wait(const HttpRequest& request) {
  Query query(request, {"timeout_ms"});
  const uint64_t timeout_ms =
      std::min<uint64_t>(query.Number("timeout_ms", 30'000),
                         static_cast<uint64_t>(absl::ToInt64Milliseconds(kWaitMax)));
  if (!query.status().ok()) return query.status();
  const absl::StatusOr<VerbReport> report =
      service_->WaitIdle(absl::Milliseconds(static_cast<int64_t>(timeout_ms)));
  if (!report.ok()) return report.status();
  return JsonAnswer(VerbView(*report), StatusOf(report->outcome));
}

absl::StatusOr<HttpResponse> ControlRoutes::Events(const HttpRequest& request) {
  Query query(request, {"after", "follow"});
  uint64_t after = query.Number("after", 0);
  const bool follow = query.Bool("follow");
  if (!query.status().ok()) return query.status();
  if (!follow) {
    HttpResponse response = TextAnswer("", "application/jsonl");
    for (const Event& event : events_->ReadAfter(after, absl::ZeroDuration())) {
      response.body += ToText(EventView(event));
    }
    return response;
  }
  HttpResponse response;
  response.content_type = "application/jsonl";
  response.next = [this, after, last_sent = absl::Now()](std::string* chunk) mutable {
    for (const Event& event : events_->ReadAfter(after, kSlice)) {
      *chunk += ToText(EventView(event));
      after = event.seq;
    }
    if (chunk->empty() && absl::Now() - last_sent > kKeepAlive) *chunk = "\n";
    if (!chunk->empty()) last_sent = absl::Now();
    return !shutdown_.load(std::memory_order_relaxed);
  };
  return response;
}

ProgramInfo ThisProgram(const std::string& name) {
  ProgramInfo program;
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size > 0) program.executable.assign(path, static_cast<size_t>(size));
  program.name = name.empty() ? program.executable.substr(program.executable.rfind('/') + 1) : name;
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  program.start_time_ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  return program;
}

}  // namespace mend
