#include "runtime/control/server.h"

#include <dlfcn.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/base/descriptor_table.h"
#include "runtime/base/high_descriptor.h"
#include "runtime/base/mutex.h"
#include "runtime/control/control_thread.h"
#include "runtime/control/request_runner.h"
#include "runtime/control/socket_place.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/system_threads.h"

namespace mend {
namespace {

// A thread for each and one for its request are fewer than the runtime may have.
constexpr size_t kConnectionsMax = 100;
// Where there is no thread for it: how long a client may take to begin its request.
constexpr int kBeginMaxMs = 1000;
// How long a forked child waits before it makes its socket.
constexpr absl::Duration kChildDelay = absl::Milliseconds(20);
constexpr absl::Duration kStartMax = absl::Seconds(1);
absl::StatusOr<sockaddr_un> SocketAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("path of control socket '", path,
                                                   "' is longer than ", sizeof address.sun_path - 1,
                                                   " characters"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Takes a socket file out of the way that nobody listens on: what a process that was killed left.
absl::Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return absl::OkStatus();
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat("control socket '", path, "': there is another file of that name"));
  }
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool refused =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  if (!refused) {
    return absl::AlreadyExistsError(
        absl::StrCat("control socket '", path, "': another process listens there"));
  }
  ::unlink(path.c_str());
  return absl::OkStatus();
}

// A listening socket at `path`, mode 0600.
absl::StatusOr<int> Listen(const std::string& path) {
  const absl::StatusOr<sockaddr_un> address = SocketAddress(path);
  if (!address.ok()) return address.status();
  const absl::Status stale = RemoveStaleSocket(path, *address);
  if (!stale.ok()) return stale;
  const int fd = MoveDescriptorUp(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The mode is set on the descriptor before the file exists: the umask is the program's, and
  // changing it for a moment would show in its other threads.
  if (fd < 0 || ::fchmod(fd, 0600) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd, 128) != 0) {
    const int error = errno;
    if (fd >= 0) ::close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on control socket '", path, "': ", std::strerror(error)));
  }
  return fd;
}

// The module beside the library (or program) that this code is linked into.
std::string DefaultHttpModule() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<void*>(&DefaultHttpModule), &info) == 0 ||
      info.dli_fname == nullptr) {
    return "control_http.so";
  }
  const std::string library = info.dli_fname;
  return absl::StrCat(library.substr(0, library.rfind('/') + 1), "mend/control_http.so");
}

bool PeerMayOperate(int connection) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

// What the refusal of a connection says beside its reason.
struct Refused {
  const char* status;
  const char* errno_name;
  int exit_code;
};
constexpr Refused kForbidden = {"403 Forbidden", "EPERM", 6};
constexpr Refused kFailed = {"500 Internal Server Error", "EIO", 1};
constexpr Refused kBusy = {"503 Service Unavailable", "EBUSY", 3};

// Says why a connection cannot be served, when there is no HTTP library to say it.
void RefuseConnection(int connection, const Refused& refused, std::string message) {
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '"' || c == '\\' || c < ' '; },
      '\'');
  const std::string body = absl::StrCat("{\"schema\":1,\"errno\":\"", refused.errno_name,
                                        "\",\"code\":\"\",\"message\":\"", message,
                                        "\",\"exit_code\":", refused.exit_code, "}\n");
  const std::string answer =
      absl::StrCat("HTTP/1.1 ", refused.status,
                   "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
                   "\r\nConnection: close\r\n\r\n", body);
  [[maybe_unused]] const ssize_t sent =
      ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

struct ControlServer::State {
  // Constant after construction.
  std::string http_module;
  void (*opened)() = nullptr;
  HttpHandler* handler = nullptr;
  EventLog* events = nullptr;
  uid_t user = 0;  // who started the program

  mutable Mutex mu;
  std::string path ABSL_GUARDED_BY(mu);
  pid_t owner ABSL_GUARDED_BY(mu) = 0;  // the process that made the socket file
  // In the server's own table of descriptors, once it has one: no other thread may use them then.
  int listener ABSL_GUARDED_BY(mu) = -1;
  int wake ABSL_GUARDED_BY(mu) = -1;  // eventfd: ends the accepting thread
  enum class Table { kNotYet, kShared, kOwn, kNobodyServes };
  Table table ABSL_GUARDED_BY(mu) = Table::kNotYet;
  // In a forked child, until it has tried to listen; and whether it is to try at once.
  bool starting ABSL_GUARDED_BY(mu) = false;
  bool hurried ABSL_GUARDED_BY(mu) = false;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  bool ending ABSL_GUARDED_BY(mu) = false;      // the process is; clients are turned away
  bool hanging_up ABSL_GUARDED_BY(mu) = false;  // EndWaits is to shut the connections down
  bool unlinking ABSL_GUARDED_BY(mu) = false;   // EndWaits is to remove the socket's file
  bool hung_up ABSL_GUARDED_BY(mu) = false;  // EndWaits has used the descriptors for the last time
  int threads ABSL_GUARDED_BY(mu) = 0;
  std::set<int> connections ABSL_GUARDED_BY(mu);
  HttpServeFunction serve ABSL_GUARDED_BY(mu) = nullptr;

  RequestRunner requests;
};

namespace {

using State = ControlServer::State;

// Opens the HTTP module. Under the mutex, so that no fork happens with the dynamic loader's lock
// taken by a thread that the child does not have.
absl::StatusOr<HttpServeFunction> OpenHttpModule(State* state)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(state->mu) {
  if (state->serve != nullptr) return state->serve;
  void* const module = ::dlopen(state->http_module.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    return absl::InternalError(absl::StrCat("cannot open the HTTP module: ", ::dlerror()));
  }
  state->serve = reinterpret_cast<HttpServeFunction>(::dlsym(module, kHttpServeSymbol));
  if (state->serve == nullptr) {
    return absl::InternalError(
        absl::StrCat("'", state->http_module, "' is not mend's HTTP module"));
  }
  if (state->opened != nullptr) state->opened();
  return state->serve;
}

// Has requests that may run hosted code carried out where the program's descriptors are.
class RequestForwarder : public HttpHandler {
 public:
  explicit RequestForwarder(State* state) : state_(state) {}

  HttpResponse Handle(const HttpRequest& request) override {
    const bool only_reads = request.method == "GET" || request.method == "HEAD";
    if (only_reads) return state_->handler->Handle(request);
    HttpResponse response;
    state_->requests.Run([&] { response = state_->handler->Handle(request); });
    return response;
  }

 private:
  State* const state_;
};

void EndConnection(State* state, int connection) {
  MutexLock lock(&state->mu);
  state->connections.erase(connection);
  ::close(connection);
  --state->threads;
}

void ServeConnection(const std::shared_ptr<State>& state, int connection) {
  HttpServeFunction serve = nullptr;
  absl::Status failure;
  {
    MutexLock lock(&state->mu);
    const absl::StatusOr<HttpServeFunction> opened = OpenHttpModule(state.get());
    if (opened.ok()) {
      serve = *opened;
    } else {
      failure = opened.status();
    }
  }
  if (serve != nullptr) {
    RequestForwarder forwarder(state.get());
    serve(connection, &forwarder);
  } else {
    RefuseConnection(connection, kFailed, std::string(failure.message()));
  }
  EndConnection(state.get(), connection);
}

// Takes one client. False: out of descriptors; try again later.
bool AcceptConnection(const std::shared_ptr<State>& state, int listener) {
  const int connection = MoveDescriptorUp(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (connection < 0) return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
  if (!PeerMayOperate(connection)) {
    RefuseConnection(connection, kForbidden, "only the same user and root may operate it");
    ::close(connection);
    return true;
  }
  {
    MutexLock lock(&state->mu);
    if (state->ending) {
      // As it will be in a moment: nobody is there.
      ::close(connection);
      return true;
    }
    if (state->stopping || state->connections.size() >= kConnectionsMax) {
      RefuseConnection(connection, kBusy, "too many connections");
      ::close(connection);
      return true;
    }
    state->connections.insert(connection);
    ++state->threads;
  }
  const absl::Status started = StartControlThread(
      "mend-client", [state, connection] { ServeConnection(state, connection); });
  if (started.ok()) return true;
  // The program's user may have no more threads (RLIMIT_NPROC): one client at a time, then, and
  // none that has nothing to ask.
  pollfd request = {connection, POLLIN, 0};
  if (::poll(&request, 1, kBeginMaxMs) > 0) {
    ServeConnection(state, connection);
  } else {
    RefuseConnection(connection, kBusy, "no thread to serve it");
    EndConnection(state.get(), connection);
  }
  return true;
}

void RemoveSocketFile(State* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state->mu) {
  ::unlink(state->path.c_str());
  state->path.clear();
  state->unlinking = false;
}

// Their readers and writers fail at once, and the threads end.
void ShutDownConnections(State* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state->mu) {
  for (const int connection : state->connections) ::shutdown(connection, SHUT_RDWR);
  state->hanging_up = false;
}

// Waits for the end of the server, then ends its threads' waits. In a thread of its own, since only
// one that shares the server's descriptors can; it removes the socket's file, too.
void EndWaits(State* state) {
  const MutexLock lock(&state->mu);
  do {
    const RuntimeThreadSleep sleep;
    state->mu.Await([state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) {
      return state->stopping || state->unlinking || state->hanging_up;
    });
    if (state->unlinking) RemoveSocketFile(state);
    if (state->hanging_up) ShutDownConnections(state);
  } while (!state->stopping);
  ::eventfd_write(state->wake, 1);
  ShutDownConnections(state);
  state->hung_up = true;
  --state->threads;
}

// Gives this thread and those that it starts a table of their own.
absl::Status EnterOwnTable(const std::shared_ptr<State>& state, int listener, int wake) {
  const bool is_own = LeaveSharedDescriptorTable({listener, wake});
  absl::Status started = StartControlThread("mend-hang-up", [state] { EndWaits(state.get()); });
  const MutexLock lock(&state->mu);
  if (!started.ok()) {
    state->table = State::Table::kNobodyServes;
    return started;
  }
  ++state->threads;
  state->table = is_own ? State::Table::kOwn : State::Table::kShared;
  return started;
}

int AwaitEither(pollfd (&entries)[2]) {
  const RuntimeThreadSleep sleep;
  return ::poll(entries, 2, -1);
}

void AcceptLoop(const std::shared_ptr<State>& state, int listener, int wake) {
  const absl::Status entered = EnterOwnTable(state, listener, wake);
  while (entered.ok()) {
    pollfd entries[] = {{wake, POLLIN, 0}, {listener, POLLIN, 0}};
    if (AwaitEither(entries) < 0 && errno != EINTR) break;
    if (entries[0].revents != 0) break;
    // Somebody closed or replaced the descriptor (a close-all loop): nothing left to serve.
    if ((entries[1].revents & (POLLNVAL | POLLERR)) != 0) break;
    if ((entries[1].revents & POLLIN) != 0 && !AcceptConnection(state, listener)) {
      absl::SleepFor(absl::Milliseconds(50));
    }
  }
  MutexLock lock(&state->mu);
  const auto is_over = [state = state.get()]()
                           ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return state->hung_up; };
  // Where nobody serves the table may be shared: then closing is StartListening's.
  if (entered.ok()) {
    state->mu.Await(is_over);
    ::close(listener);
    ::close(wake);
  }
  --state->threads;
}

// Binds and starts the accepting thread. The requests' runner has been started.
absl::Status StartListening(const std::shared_ptr<State>& state, const std::string& path) {
  const absl::StatusOr<int> listener = Listen(path);
  if (!listener.ok()) return listener.status();
  const int wake = MoveDescriptorUp(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  absl::Status started = wake < 0 ? absl::ErrnoToStatus(errno, "eventfd") : absl::OkStatus();
  MutexLock lock(&state->mu);
  state->path = path;
  state->owner = ::getpid();
  state->listener = *listener;
  state->wake = wake;
  state->table = State::Table::kNotYet;
  if (started.ok()) {
    ++state->threads;
    started = StartControlThread("mend-control",
                                 [state, fd = *listener, wake] { AcceptLoop(state, fd, wake); });
    if (!started.ok()) --state->threads;
  }
  if (!started.ok()) state->table = State::Table::kNobodyServes;
  const auto is_served = [state = state.get()]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) {
    return state->table != State::Table::kNotYet;
  };
  if (started.ok()) state->mu.Await(is_served);
  if (started.ok() && state->table == State::Table::kNobodyServes) {
    started = absl::ResourceExhaustedError("no thread for the control socket");
  }
  if (started.ok() && state->table == State::Table::kShared) return started;
  ::close(*listener);
  if (wake >= 0) ::close(wake);
  if (started.ok()) return started;
  // By this thread, and at once: the program's own may be confined when it ends (see Unlink).
  RemoveSocketFile(state.get());
  state->listener = state->wake = -1;
  return started;
}

absl::Status ListenInDefaultPlace(const std::shared_ptr<State>& state) {
  const bool is_who_started = ::geteuid() == state->user || ::geteuid() == 0;
  std::string directory = is_who_started ? DefaultSocketDirectory() : TemporarySocketDirectory();
  absl::Status trusted = PrepareSocketDirectory(directory);
  // Natively the program would start, whatever the environment says, and where /run cannot be
  // written.
  if (absl::IsUnavailable(trusted) && directory != TemporarySocketDirectory()) {
    directory = TemporarySocketDirectory();
    if (PrepareSocketDirectory(directory).ok()) trusted = absl::OkStatus();
  }
  if (!trusted.ok()) return trusted;
  return StartListening(state, absl::StrCat(directory, "/", ProcessIdOutside(), ".sock"));
}

// In a forked child, whose program runs already. It may put a descriptor where it knows that none
// is (dup2): one that the runtime opened there for a moment would take the program's along when it
// is closed. So nothing is opened before this thread has a table of its own.
void ListenInChild(const std::shared_ptr<State>& state) {
  {
    const MutexLock lock(&state->mu);
    if (state->stopping) return;
  }
  const auto report = [&state](const absl::Status& failure) {
    state->events->Append(MendEvent("control_unavailable", "",
                                    absl::StrCat("forked process ", ProcessIdOutside(),
                                                 " has no control socket: ", failure.message())));
  };
  if (absl::Status started = state->requests.Start(); !started.ok()) return report(started);
  LeaveSharedDescriptorTable({});
  const absl::Status listening = ListenInDefaultPlace(state);
  // The log's descriptor is the program's.
  if (!listening.ok()) state->requests.Run([&] { report(listening); });
}

}  // namespace

ControlServer::ControlServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(
    const ControlServerOptions& options, HttpHandler* handler, EventLog* events) {
  auto state = std::make_shared<State>();
  state->http_module = options.http_module.empty() ? DefaultHttpModule() : options.http_module;
  state->opened = options.opened;
  state->handler = handler;
  state->events = events;
  state->user = ::geteuid();
  absl::Status listening = state->requests.Start();
  if (!listening.ok()) return listening;
  listening =
      options.socket.empty() ? ListenInDefaultPlace(state) : StartListening(state, options.socket);
  std::unique_ptr<ControlServer> server(new ControlServer(std::move(state)));
  if (!listening.ok()) return listening;
  return server;
}

ControlServer::~ControlServer() {
  Unlink();
  State* const state = state_.get();
  MutexLock lock(&state->mu);
  state->stopping = true;
  const auto idle = [state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return state->threads == 0; };
  state->mu.Await(idle);
  state->requests.Stop();
}

bool ControlServer::HangUp() {
  // Who does it must not wait in turn until this thread is seen asleep.
  SingleThread::Leave();
  State* const state = state_.get();
  MutexLock lock(&state->mu);
  if (state->owner != ::getpid()) return false;
  state->ending = true;
  if (state->connections.empty()) return false;
  state->hanging_up = true;
  state->mu.Await([state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) {
    return !state->hanging_up || state->hung_up;
  });
  return true;
}

void ControlServer::AwaitNoConnection(absl::Duration patience) {
  State* const state = state_.get();
  MutexLock lock(&state->mu);
  if (state->owner != ::getpid()) return;
  state->mu.AwaitWithTimeout(
      [state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return state->connections.empty(); },
      patience);
}

void ControlServer::Unlink() {
  // As in HangUp.
  SingleThread::Leave();
  State* const state = state_.get();
  MutexLock lock(&state->mu);
  // A child that was made by a raw system call must not take its parent's socket away.
  if (state->path.empty() || state->owner != ::getpid()) {
    state->path.clear();
    return;
  }
  // Not by this thread: the program may have confined it to system calls that do not include this
  // one (seccomp), or to a root that does not contain the socket. Who does it may not be there yet.
  state->unlinking = true;
  state->mu.Await([state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return state->path.empty(); });
}

std::string ControlServer::socket_path() const {
  MutexLock lock(&state_->mu);
  return state_->path;
}

void ControlServer::PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->mu.Lock();
  state_->requests.PrepareFork();
}

void ControlServer::ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->requests.ParentAfterFork();
  state_->mu.Unlock();
}

void ControlServer::ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  // The parent's threads are not here; what they were doing is over.
  state_->mu.ResetAfterFork();
  state_->requests.ChildAfterFork();
  // Where the table is shared (or still is) their descriptors are here, and would keep the parent's
  // clients and address alive. Otherwise these numbers are the program's.
  if (state_->table != State::Table::kOwn) {
    for (const int connection : state_->connections) ::close(connection);
    if (state_->listener >= 0) ::close(state_->listener);
    if (state_->wake >= 0) ::close(state_->wake);
  }
  state_->listener = state_->wake = -1;
  state_->table = State::Table::kNotYet;
  state_->connections.clear();
  state_->hung_up = false;
  state_->ending = false;
  state_->hanging_up = false;
  state_->unlinking = false;
  state_->path.clear();
  state_->threads = 1;  // the starter below, which counts for the destructor
  state_->starting = true;
  state_->hurried = false;
  const absl::Status started = StartControlThread("mend-control", [state = state_] {
    {
      const MutexLock lock(&state->mu);
      state->mu.AwaitWithTimeout(
          [&state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return state->hurried; }, kChildDelay);
    }
    ListenInChild(state);
    const MutexLock lock(&state->mu);
    state->starting = false;
    --state->threads;
  });
  if (!started.ok()) {
    state_->threads = 0;
    state_->starting = false;
    return;
  }
  // The program's threads go on with a root and working directory of their own, the control threads
  // keep these: a child that changes its root, as unprivileged workers do, is operated from outside
  // of it. Where that is not allowed the socket is inside.
  ::unshare(CLONE_FS);
}

void ControlServer::StartInChildNow() {
  State* const state = state_.get();
  const MutexLock lock(&state->mu);
  if (!state->starting) return;
  state->hurried = true;
  state->mu.AwaitWithTimeout(
      [state]() ABSL_SHARED_LOCKS_REQUIRED(state->mu) { return !state->starting; }, kStartMax);
}

}  // namespace mend
