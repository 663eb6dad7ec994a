#include "mend/client.h"

#include <httplib.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "mend/json.h"

namespace mend {
namespace {

// Why nobody answers on the socket, in the system's words: the HTTP library only says "Connection".
absl::Status ExplainConnection(const std::string& socket_path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("path of socket '", socket_path, "' is too long"));
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  // Not blocking: a process that is stopped takes no connections, and its queue may be full.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::UnavailableError(std::strerror(errno));
  const int error =
      ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  ::close(fd);
  const std::string message =
      absl::StrCat("cannot reach '", socket_path, "': ",
                   error == 0        ? "the target closed the connection"
                   : error == EAGAIN ? "the target does not take connections"
                                     : std::strerror(error));
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

absl::Status ExplainFailure(httplib::Error error, const std::string& socket_path) {
  if (error == httplib::Error::Connection) return ExplainConnection(socket_path);
  if (error != httplib::Error::Read) {
    return absl::UnavailableError(
        absl::StrCat("target at '", socket_path, "' did not answer: ", httplib::to_string(error)));
  }
  // The connection ended, or nothing came for too long.
  const absl::Status now = ExplainConnection(socket_path);
  if (absl::IsNotFound(now) || !absl::StrContains(now.message(), "the target ")) {
    return absl::UnavailableError(
        absl::StrCat("target at '", socket_path, "' did not answer: it ended meanwhile"));
  }
  return absl::DeadlineExceededError(
      absl::StrCat("target at '", socket_path, "' did not answer in time"));
}

std::unique_ptr<httplib::Client> MakeClient(const std::string& socket_path,
                                            absl::Duration timeout) {
  auto client = std::make_unique<httplib::Client>(socket_path, 80);
  client->set_address_family(AF_UNIX);
  client->set_default_headers({{"Host", "mend"}});
  client->set_connection_timeout(5);
  client->set_read_timeout(static_cast<time_t>(absl::ToInt64Seconds(timeout)) + 1);
  client->set_write_timeout(60);
  client->set_keep_alive(false);
  return client;
}

absl::StatusOr<Reply> ToReply(const httplib::Result& result, const std::string& socket_path) {
  if (!result) return ExplainFailure(result.error(), socket_path);
  return Reply{result->status, result->body};
}

// The scope of a request: a target that hangs up while it is sent is an error like others, and does
// not end the caller by SIGPIPE.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipe() {
    const timespec now = {};
    // This thread's own: the kernel sends it to whoever writes.
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

}  // namespace

absl::StatusOr<Reply> Client::Get(const std::string& path, const RequestOptions& options) const {
  const NoBrokenPipe guard;
  return ToReply(MakeClient(socket_, options.timeout)->Get(path), socket_);
}

absl::StatusOr<Reply> Client::Put(const std::string& path, const std::string& body,
                                  const RequestOptions& options) const {
  const NoBrokenPipe guard;
  return ToReply(MakeClient(socket_, options.timeout)->Put(path, body, options.content_type),
                 socket_);
}

absl::StatusOr<Reply> Client::Post(const std::string& path, const std::string& body,
                                   const RequestOptions& options) const {
  const NoBrokenPipe guard;
  return ToReply(MakeClient(socket_, options.timeout)->Post(path, body, options.content_type),
                 socket_);
}

absl::StatusOr<Reply> Client::Follow(
    const std::string& path, const std::function<bool(std::string_view line)>& on_line) const {
  // The server sends an empty line every 15 s, so silence for a minute means that it is gone.
  const std::unique_ptr<httplib::Client> client = MakeClient(socket_, absl::Seconds(60));
  Reply reply;
  std::string pending;
  bool stopped = false;
  std::optional<NoBrokenPipe> guard(std::in_place);
  const auto on_response = [&](const httplib::Response& response) {
    // The request is sent; a broken pipe from here on is that of the caller's output.
    guard.reset();
    reply.status = response.status;
    return true;
  };
  const auto on_data = [&](const char* data, size_t size) {
    if (!reply.ok()) {
      reply.body.append(data, size);
      return true;
    }
    pending.append(data, size);
    size_t begin = 0;
    for (size_t end; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (end == begin) continue;
      if (!on_line(std::string_view(pending).substr(begin, end - begin))) {
        stopped = true;
        return false;
      }
    }
    pending.erase(0, begin);
    return true;
  };
  const httplib::Result result = client->Get(path, on_response, on_data);
  // A target that ends in the middle of a chunked answer looks like a read error.
  if (!result && !stopped && reply.status == 0) return ExplainFailure(result.error(), socket_);
  return reply;
}

int ExitCodeOf(const Reply& reply) {
  const Json answer = ParseObject(reply.body);
  if (FieldOf(answer, "exit_code").is_number_integer()) {
    const int64_t code = NumberOf(answer, "exit_code");
    if (code >= kExitOk && code <= kExitSomeFailed) return static_cast<int>(code);
  }
  return reply.ok() ? kExitOk : kExitInternal;
}

std::string ErrorText(const Reply& reply) {
  if (reply.ok()) return {};
  const Json answer = ParseObject(reply.body);
  const std::string message = StringOf(answer, "message");
  if (message.empty()) return absl::StrCat("EIO: the target answered HTTP status ", reply.status);
  const std::string error = StringOf(answer, "errno");
  return error.empty() ? message : absl::StrCat(error, ": ", message);
}

std::string ForcedText(int64_t threads) {
  if (threads == 0) return {};
  return absl::StrCat("warning: ", threads, threads == 1 ? " thread was" : " threads were",
                      " switched by force, whatever they ran: they may run old and new code mixed. "
                      "What was taken off stays until every thread has been seen off it");
}

std::string SecondsProblem(const std::string& text) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds) && seconds >= 0) return "";  // not NaN either
  return absl::StrCat("'", text, "' is no number of seconds");
}

double BoundedTimeout(double seconds) {
  constexpr double kMax = 24 * 3600;
  return seconds < kMax ? seconds : kMax;  // not a number, too
}

RequestOptions WaitingOptions(double timeout_s) {
  return {.timeout = absl::Seconds(BoundedTimeout(timeout_s) * 2) + absl::Seconds(60)};
}

std::string WaitQuery(const WaitFlags& wait) {
  return absl::StrCat("?timeout_ns=", static_cast<int64_t>(BoundedTimeout(wait.timeout_s) * 1e9),
                      "&on_timeout=", wait.on_timeout, "&no_wait=", wait.no_wait ? 1 : 0);
}

std::string EncodeSegment(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::strchr("-._~,:", c) != nullptr) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

}  // namespace mend
