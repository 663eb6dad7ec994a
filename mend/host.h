// Host: the parts of the process's one runtime, wired together: event log, JIT session, livepatch
// core, patch service, control server. Both faces stand on it: mend_host_main, which runs a whole
// program, and mend::Runtime, which a service embeds.
//
// Thread safety: as its parts. It is never destroyed: hosted exit handlers, detached threads and
// late signals may need it until the process is gone. One that has been retired can have a
// successor, which takes over the process's hooks and knows nothing of what the other has loaded.
#ifndef MEND_MEND_HOST_H_
#define MEND_MEND_HOST_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/session.h"
#include "mend/compile.h"
#include "mend/host_options.h"
#include "runtime/base/event_log.h"
#include "runtime/base/mutex.h"
#include "runtime/control/patch_service.h"
#include "runtime/control/routes.h"
#include "runtime/control/server.h"
#include "runtime/format/program_image.h"
#include "runtime/module/module_registry.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

class Host {
 public:
  // Makes the process's host and installs its hooks (fork, thread start). Nothing is served yet.
  // FAILED_PRECONDITION when the process has one that is not retired, or in transition still.
  static absl::StatusOr<Host*> Create(const HostOptions& options);

  // The process's host; null before Create.
  static Host* Get();

  // Opens the control socket; it accepts from now on. REQUIRES: not serving yet.
  absl::Status Serve();
  void StopServing();
  // Stops serving, and lets another host be created. Hosted code stays as it is; a transition that
  // runs is completed, but for a canary's, which is turned round.
  void Retire();
  // For the end of the process: takes no more requests, and waits for those that run, but not for
  // ever: one may wait for the calling thread. To be called before exit handlers and destructors,
  // which take away what requests use (statics of the HTTP library, of LLVM).
  void EndRequests();
  // Removes the socket's file; for the end of the process.
  void UnlinkSocket();

  // Links objects into the program; nothing of them runs. An error leaves the program as it was.
  absl::Status Load(const std::string& name, std::vector<CompiledObject> objects);

  // Applies every *.mendpatch of the options' patch directory, in the order of their names. The
  // first refusal is returned; what was applied before it stays.
  absl::Status ApplyPatchDirectory();

  const HostOptions& options() const { return options_; }
  EventLog& events() { return events_; }
  jit::Session& session() { return *session_; }
  PatchRegistry& registry() { return *registry_; }
  ModuleRegistry& modules() { return *modules_; }
  PatchService& patches() { return *patches_; }

 private:
  Host(const HostOptions& options, Host* predecessor)
      : options_(options), predecessor_(predecessor) {}
  static absl::Status MakeRoomForSuccessor(Host* host);
  absl::Status Initialize();
  void InstallHooks();

  // fork's handlers, in the forking thread. The locks are held from one to the next, which the
  // analysis cannot follow.
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // What Load loaded, as a program image; empty if nothing.
  std::string LoadedImage() const;

  const HostOptions options_;
  Host* const predecessor_;  // retired; null: the process's first one
  std::atomic<bool> retired_{false};
  std::atomic<pid_t> requests_ended_in_{0};  // the process in which EndRequests was called
  EventLog events_;
  std::unique_ptr<jit::Session> session_;
  std::unique_ptr<PatchRegistry> registry_;
  std::unique_ptr<ModuleRegistry> modules_;
  std::unique_ptr<PatchService> patches_;
  std::unique_ptr<ControlRoutes> routes_;
  std::unique_ptr<ControlServer> server_;

  mutable Mutex mu_;
  std::vector<ProgramObject> loaded_ ABSL_GUARDED_BY(mu_);  // bytes are kept for good
};

}  // namespace mend

#endif  // MEND_MEND_HOST_H_
