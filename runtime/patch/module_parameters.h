// ModuleParameters: the parameters of a patch module or a guest module (MEND_PARAM_...). The loader
// declares them; operators set and read them at load and through the attribute tree.
//
// Values are parsed as the kernel parses its own: bools take Y, N, 1, 0 (y, n, on, off, ...) and
// read Y or N; numbers take decimal, 0x and 0 (octal), with a sign, and an optional final newline.
//
// Thread safety: all methods are thread-safe. Hosted code reads its variables meanwhile, each of
// which is written by one aligned store.
#ifndef MEND_RUNTIME_PATCH_MODULE_PARAMETERS_H_
#define MEND_RUNTIME_PATCH_MODULE_PARAMETERS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"

namespace mend {

enum class ParameterKind : uint8_t { kBool, kInt, kLong, kString };

// NAME and VALUE, in the order given.
using ParameterValues = std::vector<std::pair<std::string, std::string>>;

// As the kernel's kstrtobool: only the first characters count. False when it is no boolean.
bool ParseKernelBool(std::string_view text, bool* value);

class ModuleParameters {
 public:
  // Declares the author's variable: a bool, int, long or const char*. For the loader, before
  // anybody else knows the module. ALREADY_EXISTS.
  absl::Status Add(const std::string& name, ParameterKind kind, void* variable);

  // In the order of declaration.
  std::vector<std::string> Names() const;
  // ENOENT.
  absl::StatusOr<std::string> Get(std::string_view name) const;
  // ENOENT for an unknown name; EINVAL, ERANGE as the kernel: the variable stays as it is then.
  // Strings live as long as this object, since hosted code may hold on to them.
  absl::Status Set(std::string_view name, std::string_view value);
  // At load: EINVAL names the first that is unknown or cannot be parsed.
  absl::Status SetAll(const ParameterValues& values);
  // What has been set, each to its last value.
  ParameterValues Values() const;

 private:
  struct Parameter {
    std::string name;
    ParameterKind kind;
    void* variable;
    std::optional<std::string> value = std::nullopt;  // that was set
  };
  const Parameter* Find(std::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status SetLocked(const Parameter& parameter, std::string_view value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::vector<Parameter> parameters_ ABSL_GUARDED_BY(mu_);
  std::set<std::string, std::less<>> strings_ ABSL_GUARDED_BY(mu_);  // every value ever set
};

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_MODULE_PARAMETERS_H_
