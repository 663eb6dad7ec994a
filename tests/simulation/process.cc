#include "tests/simulation/process.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/patch_registry.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {
namespace {

Scheduler& Now() { return *Scheduler::Current(); }

std::function<void()>& ChildOperator() {
  static std::function<void()> body;
  return body;
}

uint64_t points_before_fork = 0;

void ContinueInChild(World& world) {
  Fiber* const caller = Now().running();
  points_before_fork = Now().points();
  world.units = 0;
  ++world.depth;
  ++world.pid;
  Now().KeepOnly(caller);
  SimulatedThread* const self = SimulatedThread::Current();
  SimulatedThread* const home = self == nullptr ? nullptr : self->home();
  for (const auto& thread : world.threads) {
    const bool context = thread->announcement == Announcement::kContext;
    if (thread.get() == self) {
      thread->BecomeOnlyThread();
    } else if (context && !thread->done) {
      // The program's threads run contexts, and there is none of them, maybe; or one that is not
      // here ran this one, left it, or was on its way to it.
      const bool has_runner = home != nullptr && home->announcement == Announcement::kProgram;
      if (!has_runner || !thread->IsSuspended()) thread->Abandon();
    } else if (thread.get() != home) {
      thread->done = true;
    }
  }
  world.events.AfterFork();
  ThreadRegistry::Get().ChildAfterFork();
  world.registry->ChildAfterFork();
  // Whoever forked, the main fiber goes on operating; else it needs a new operator.
  Uninterrupted::End();
  if (caller != Now().main()) Now().set_main(Now().Spawn("operator of the child", ChildOperator()));
}

}  // namespace

void SetChildOperator(std::function<void()> body) { ChildOperator() = std::move(body); }

uint64_t PointsBeforeFork() { return points_before_fork; }

void ForkProcess() {
  World& world = *CurrentWorld();
  const Fiber* const user = world.module_user;
  if (user != nullptr && user != Now().running()) return;
  world.module_user = Now().running();
  --world.behaviour.forks_left;
  Uninterrupted::Begin();
  world.registry->PrepareFork();
  ThreadRegistry::Get().PrepareFork();
  world.events.PrepareFork();
  fflush(stdout);
  const pid_t child = fork();
  if (child < 0) Now().Violation("the simulation itself cannot fork");
  if (child == 0) {
    ContinueInChild(world);
    world.module_user = user;
    return;
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) {
    Now().Violation("in a forked child, see above (status %d)", status);
  }
  world.events.AfterFork();
  ThreadRegistry::Get().ParentAfterFork();
  world.registry->ParentAfterFork();
  Uninterrupted::End();
  world.module_user = user;
}

}  // namespace mend::simulation
