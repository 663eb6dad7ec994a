// A control server over the fake core, in this process, for tests of the socket and of its clients.
#ifndef MEND_TESTS_RUNTIME_CONTROL_CONTROL_FIXTURE_H_
#define MEND_TESTS_RUNTIME_CONTROL_CONTROL_FIXTURE_H_

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/control/routes.h"
#include "runtime/control/server.h"
#include "tests/runtime/control/fake_core.h"

namespace mend {

class ControlFixture : public testing::Test {
 protected:
  ControlFixture() {
    char path[] = "/tmp/mend-control-XXXXXX";
    directory_ = ::mkdtemp(path);
    // The default place of this test and of the programs that it starts.
    ::setenv("XDG_RUNTIME_DIR", directory_.c_str(), 1);
    Serve("");
  }

  ~ControlFixture() override {
    StopServing();
    [[maybe_unused]] const int removed = ::system(absl::StrCat("rm -rf ", directory_).c_str());
  }

  void Serve(const std::string& socket) {
    absl::StatusOr<std::unique_ptr<ControlServer>> server = ControlServer::Start(
        {.socket = socket, .http_module = MEND_HTTP_MODULE}, &routes_, &events_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void StopServing() {
    service_.Shutdown();
    routes_.Shutdown();
    server_.reset();
  }

  std::string directory_;
  EventLog events_;
  FakeLoader loader_;
  std::unique_ptr<PatchRegistry> registry_ = MakeFakeRegistry(&events_);
  PatchService service_{registry_.get(), &loader_, ""};
  FakeModuleLoader module_loader_;
  ModuleRegistry modules_{&module_loader_, registry_.get(), &events_, nullptr};
  ControlRoutes routes_{ThisProgram("kv-server"), &service_, &events_, &modules_};
  std::unique_ptr<ControlServer> server_;
};

}  // namespace mend

#endif  // MEND_TESTS_RUNTIME_CONTROL_CONTROL_FIXTURE_H_
