// A service that embeds the runtime, told by lines on standard input what to do: several runtimes,
// one after the other, and many threads in one of them. As a program, or (EMBEDDED_IN_LIBRARY) as
// the function `serve` of a shared library.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mend/runtime.h"

namespace {

using Step = mend::Function<int(int)>;

std::string Text(const absl::Status& status) {
  return status.ok() ? "OK" : std::string(status.message());
}

class Service {
 public:
  std::string Do(const std::string& command, const std::string& operand) {
    if (command == "create") return Create(operand);
    if (command == "end") return runtime_.reset(), "ended";
    if (command == "load") return Text(runtime_->Load(operand));
    if (command == "step") return Call(operand);
    if (command == "keep") return Keep(operand);
    if (command == "kept") return std::to_string(kept_.at(std::stoul(operand))(0));
    if (command == "apply") return Apply(operand);
    if (command == "threads") return CallFromThreads(std::stoi(operand));
    if (command == "fork") return CallInChild(operand);
    if (command == "give") return Give(std::stoi(operand));
    return "what?";
  }

 private:
  std::string Create(const std::string& option) {
    mend::RuntimeOptions options{.name = "embedded", .serve = true};
    options.debugger = option == "debugger";
    options.perf = option == "perf";
    auto runtime = mend::Runtime::Create(options);
    if (runtime.ok()) runtime_ = *std::move(runtime);
    return Text(runtime.status());
  }
  absl::StatusOr<Step> Find(const std::string& name) { return runtime_->Lookup<int(int)>(name); }
  std::string Call(const std::string& name) {
    absl::StatusOr<Step> step = Find(name);
    return step.ok() ? std::to_string((*step)(1)) : Text(step.status());
  }
  std::string Keep(const std::string& name) {
    absl::StatusOr<Step> step = Find(name);
    if (step.ok()) kept_.push_back(*step);
    return Text(step.status());
  }
  std::string Apply(const std::string& file) {
    auto report = runtime_->Apply(file);
    return report.ok() ? report->patch : Text(report.status());
  }
  // All are in hosted code at once: the last one to come lets them go.
  std::string CallFromThreads(int count) {
    absl::StatusOr<Step> meet = Find("meet");
    if (!meet.ok()) return Text(meet.status());
    std::atomic<int> sum{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < count; i++) threads.emplace_back([&] { sum += (*meet)(count); });
    for (std::thread& thread : threads) thread.join();
    return std::to_string(sum);
  }
  std::string Give(int number) {
    auto own = runtime_->Lookup<int(std::unique_ptr<int>)>("own");
    return own.ok() ? std::to_string((*own)(std::make_unique<int>(number))) : Text(own.status());
  }
  std::string CallInChild(const std::string& name) {
    const pid_t child = fork();
    if (child == 0) _exit((*Find(name))(1) % 256);
    int status = 0;
    waitpid(child, &status, 0);
    return std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }

  std::unique_ptr<mend::Runtime> runtime_;
  std::vector<Step> kept_;
};

}  // namespace

#ifdef EMBEDDED_IN_LIBRARY
extern "C" int serve() {
#else
int main() {
#endif
  Service service;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command, operand;
    words >> command >> operand;
    std::cout << service.Do(command, operand) << std::endl;
  }
  return 0;
}
