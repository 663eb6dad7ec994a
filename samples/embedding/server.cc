// A small server that hosts its own handlers: server HANDLERS.cc.
//
// The server itself is an ordinary native program; only what it loads through mend::Runtime is
// hosted, and patched without the server taking notice. Each line on standard input is a request;
// "apply FILE" applies a patch module from inside the process, "disable NAME" takes one off. "try
// FILE" has one thread run it only, until "promote NAME".
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "mend/runtime.h"

namespace {

using Handler = mend::Function<int(const char*, char*, unsigned long)>;

int Fail(const absl::Status& status) {
  std::cerr << "server: " << status << "\n";
  return 1;
}

void Apply(mend::Runtime& runtime, const std::string& file, const std::string& canary) {
  const absl::StatusOr<mend::ApplyReport> summary =
      runtime.Apply(file, {.timeout = absl::Seconds(5), .canary = canary});
  if (!summary.ok()) {
    std::cout << "refused: " << summary.status() << std::endl;
    return;
  }
  std::cout << (summary->held ? "trying " : "applied ") << summary->patch << " in "
            << absl::ToDoubleMilliseconds(absl::Nanoseconds(summary->switch_ns)) << " ms:";
  for (const std::string& function : summary->functions) std::cout << " " << function;
  std::cout << std::endl;
}

void Serve(mend::Runtime& runtime, const Handler& handle) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.rfind("apply ", 0) == 0) {
      Apply(runtime, line.substr(6), "");
    } else if (line.rfind("try ", 0) == 0) {
      Apply(runtime, line.substr(4), "1");
    } else if (line.rfind("promote ", 0) == 0) {
      std::cout << runtime.Promote(line.substr(8)) << std::endl;
    } else if (line.rfind("disable ", 0) == 0) {
      std::cout << runtime.Disable(line.substr(8)) << std::endl;
    } else {
      char answer[256];
      const int status = handle(line.c_str(), answer, sizeof answer);
      std::cout << status << " " << answer << std::endl;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: server HANDLERS.cc\n";
    return 2;
  }
  absl::StatusOr<std::unique_ptr<mend::Runtime>> runtime =
      mend::Runtime::Create({.name = "embedding", .serve = true});
  if (!runtime.ok()) return Fail(runtime.status());
  if (absl::Status loaded = (*runtime)->Load(argv[1]); !loaded.ok()) return Fail(loaded);
  const auto handle = (*runtime)->Lookup<int(const char*, char*, unsigned long)>("handle_request");
  if (!handle.ok()) return Fail(handle.status());
  std::cout << "serving" << std::endl;
  Serve(**runtime, *handle);
  return 0;
}
