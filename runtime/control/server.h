// ControlServer: the control socket of a hosted program, and the threads that serve it.
//
// The socket accepts connections from the moment Start returns. One thread waits for clients; each
// connection gets a thread of its own, since a request may wait for a transition and an event
// stream goes on for hours. Only the same user and root are served.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_RUNTIME_CONTROL_SERVER_H_
#define MEND_RUNTIME_CONTROL_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/event_log.h"
#include "runtime/control/http.h"

namespace mend {

struct ControlServerOptions {
  std::string socket;  // path of the socket; empty: the default place (socket_place.h)
  std::string
      http_module;  // the HTTP module's file; empty: lib/mend/control_http.so beside libmend
  // Called once, when the HTTP module has been loaded and before it is used: an exit handler that
  // is registered here runs before the module's destructors. May be null.
  void (*opened)() = nullptr;
};

class ControlServer {
 public:
  // Binds the socket and starts serving. `handler` and `events` must outlive the server.
  // PERMISSION_DENIED for a directory that cannot be trusted; ALREADY_EXISTS when somebody listens
  // on the path; FAILED_PRECONDITION.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const ControlServerOptions& options,
                                                              HttpHandler* handler,
                                                              EventLog* events);

  // Removes the socket, ends the connections, and waits until no thread serves any more.
  ~ControlServer();

  // For the end of the process, before anything is destroyed that requests use: takes no more
  // clients and ends the connections; returns whether there are any. Their requests go on: whoever
  // lets them wait has to end that, and AwaitNoConnection returns when none is left, or after
  // `patience`. In another process than the server's (a vfork child) both do nothing.
  bool HangUp();
  void AwaitNoConnection(absl::Duration patience);
  // Removes the socket's file: for the end of the process, when threads need no tidying. Safe to
  // call more than once.
  void Unlink();

  // The path of the socket; empty in a forked child until it has its own.
  std::string socket_path() const;

  // Around fork, in the forking thread, outermost of the runtime's hooks. The child gets a socket
  // of its own, in the default place; a little later, so that a child that executes another
  // program at once leaves nothing behind.
  void PrepareFork();
  void ParentAfterFork();
  void ChildAfterFork();

  // In a forked child: does not wait any longer, and returns when it has the threads that it needs,
  // or there are none to be had. For a program that is about to allow itself no more threads.
  void StartInChildNow();

  struct State;  // server.cc

 private:
  explicit ControlServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_SERVER_H_
