// Client: requests to the control socket of one target (HTTP over a UNIX stream socket). `mend` and
// `patchc apply` use nothing else to operate a running program.
//
//   mend::Client client(target.socket);
//   absl::StatusOr<mend::Reply> reply = client.Post(path, module_bytes, options);
//   if (!reply.ok()) return mend::kExitUnreachable;   // never got an answer
//   return mend::ExitCodeOf(*reply);                  // the target's own verdict
//
// Thread safety: a Client is used by one thread at a time; every request has its own connection.
#ifndef MEND_MEND_CLIENT_H_
#define MEND_MEND_CLIENT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mend {

// The exit codes of the contract.
enum ExitCode : int {
  kExitOk = 0,
  kExitInternal = 1,
  kExitUsage = 2,
  kExitRefused = 3,
  kExitReversed = 4,
  kExitMigrating = 5,
  kExitUnreachable = 6,
  kExitSomeFailed = 7,
};

// What the target answered.
struct Reply {
  int status = 0;  // HTTP's
  std::string body;

  bool ok() const { return status >= 200 && status < 300; }
};

struct RequestOptions {
  absl::Duration timeout = absl::Seconds(20);  // without a byte from the target
  std::string content_type = "application/octet-stream";
};

class Client {
 public:
  explicit Client(std::string socket) : socket_(std::move(socket)) {}

  // `path` begins with '/' and carries its query; see EncodeSegment. Errors mean that there was no
  // answer: UNAVAILABLE (nobody listens, or it went away), PERMISSION_DENIED, DEADLINE_EXCEEDED.
  absl::StatusOr<Reply> Get(const std::string& path, const RequestOptions& options = {}) const;
  absl::StatusOr<Reply> Put(const std::string& path, const std::string& body,
                            const RequestOptions& options = {}) const;
  absl::StatusOr<Reply> Post(const std::string& path, const std::string& body,
                             const RequestOptions& options = {}) const;

  // Calls `on_line` with every line of an answer that goes on, until it returns false (then OK) or
  // the target ends the answer (then OK too). A refusal comes back as a Reply.
  absl::StatusOr<Reply> Follow(const std::string& path,
                               const std::function<bool(std::string_view line)>& on_line) const;

  const std::string& socket() const { return socket_; }

 private:
  std::string socket_;
};

// What a command that made just this request exits with.
int ExitCodeOf(const Reply& reply);

// Of a refusal: "EBUSY: a transition of patch 'fix' is running", with its stable code if it has
// one. "" when the reply is no refusal.
std::string ErrorText(const Reply& reply);

// A warning of what it means that so many threads were forced; "" for none.
std::string ForcedText(int64_t threads);

// --timeout, --on-timeout and --no-wait: how long a request waits for its transition, and what
// then.
struct WaitFlags {
  double timeout_s = 30;
  std::string on_timeout = "reverse";
  bool no_wait = false;
};

// For a request that waits so long for a transition: reversing it may take as long again, and the
// target answers by itself.
RequestOptions WaitingOptions(double timeout_s);

// What is wrong with a number of seconds on a command line; "" for nothing.
std::string SecondsProblem(const std::string& text);

// No more than a day, which is what targets wait for at most.
double BoundedTimeout(double seconds);

// The flags as the query of a request; begins with '?'.
std::string WaitQuery(const WaitFlags& wait);

// Percent-encodes one segment of a path or one value of a query.
std::string EncodeSegment(std::string_view text);

}  // namespace mend

#endif  // MEND_MEND_CLIENT_H_
