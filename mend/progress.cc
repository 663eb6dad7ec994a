#include "mend/progress.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <future>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "mend/json.h"

namespace mend {
namespace {

// "3 threads left; worker (124) is in handle_request"; "" when nothing can be said.
std::string DescribeTransition(const Client& client) {
  const absl::StatusOr<Reply> reply = client.Get("/status", {.timeout = absl::Seconds(2)});
  if (!reply.ok() || !reply->ok()) return {};
  const Json status = ParseObject(reply->body);
  const Json& transition = FieldOf(status, "transition");
  if (!transition.is_object()) return {};
  const int64_t threads = NumberOf(transition, "threads_left");
  std::string text = absl::StrCat(threads, threads == 1 ? " thread left" : " threads left");
  const Json& stragglers = FieldOf(status, "stragglers");
  if (!stragglers.is_array() || stragglers.empty()) return text;
  const Json& first = stragglers.front();
  absl::StrAppend(&text, "; ", StringOf(first, "name"), " (", StringOf(first, "tid"), ")");
  const Json& straggler = FieldOf(first, "straggler");
  if (straggler.is_object()) {
    const std::string function = StringOf(straggler, "function");
    absl::StrAppend(
        &text, function.empty() ? " is " + StringOf(straggler, "reason") : " is in " + function);
  }
  return text;
}

constinit absl::Mutex line_mu(absl::kConstInit);
bool is_line_shown ABSL_GUARDED_BY(line_mu) = false;

void ShowProgress(const std::string& line) {
  const absl::MutexLock lock(&line_mu);
  is_line_shown = ::isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, is_line_shown ? "\r\033[K%s" : "%s\n", line.c_str());
}

// While there is one, SIGINT and SIGTERM say what becomes of the requests before they end the
// process. Where they are ignored or blocked, they stay so.
class InterruptNote {
 public:
  InterruptNote() {
    const absl::MutexLock lock(&mu_);
    if (notes_++ > 0) return;
    for (size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction action = {};
      sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler == SIG_IGN) continue;
      action.sa_handler = &Tell;
      action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
      sigaction(kSignals[i], &action, nullptr);
    }
  }
  ~InterruptNote() {
    const absl::MutexLock lock(&mu_);
    if (--notes_ > 0) return;
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  InterruptNote(const InterruptNote&) = delete;
  InterruptNote& operator=(const InterruptNote&) = delete;

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM};
  static constexpr std::string_view kText =
      "\ninterrupted; the target goes on with what it was asked for: mend status shows it, mend "
      "disable turns a transition round\n";

  static void Tell(int signal) {
    const ssize_t written = ::write(STDERR_FILENO, kText.data(), kText.size());
    (void)written;
    raise(signal);
  }

  static constinit inline absl::Mutex mu_{absl::kConstInit};
  static inline int notes_ ABSL_GUARDED_BY(mu_) = 0;
  static inline std::array<struct sigaction, kSignals.size()> before_ ABSL_GUARDED_BY(mu_) = {};
};

absl::StatusOr<Reply> WithProgress(const Client& client, const std::string& what,
                                   std::function<absl::StatusOr<Reply>()> request) {
  std::future<absl::StatusOr<Reply>> answer = std::async(std::launch::async, std::move(request));
  std::string shown;
  while (answer.wait_for(std::chrono::seconds(1)) == std::future_status::timeout) {
    const std::string line = absl::StrCat(what, ": ", DescribeTransition(client));
    if (line == shown) continue;
    shown = line;
    ShowProgress(line);
  }
  ClearProgress();
  return answer.get();
}

}  // namespace

void ClearProgress() {
  const absl::MutexLock lock(&line_mu);
  if (is_line_shown) std::fputs("\r\033[K", stderr);
  is_line_shown = false;
}

absl::StatusOr<Reply> PostWithProgress(const Client& client, const std::string& path,
                                       const std::string& body, const RequestOptions& options,
                                       const std::string& what) {
  const InterruptNote note;
  return WithProgress(client, what, [&] { return client.Post(path, body, options); });
}

absl::StatusOr<Reply> GetWithProgress(const Client& client, const std::string& path,
                                      const RequestOptions& options, const std::string& what) {
  return WithProgress(client, what, [&] { return client.Get(path, options); });
}

}  // namespace mend
