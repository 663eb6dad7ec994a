#include "runtime/patch/module_parameters.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace mend {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// The kernel's kstrtol with base 0: an optional sign, digits, an optional final newline, and
// nothing else. 0, EINVAL or ERANGE.
int ParseLong(std::string_view text, long minimum, long maximum, long* value) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const std::string digits(text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text);
  // strtoul would take blanks and a second sign.
  if (digits.empty() || digits[0] < '0' || digits[0] > '9') return EINVAL;
  char* end = nullptr;
  errno = 0;
  const unsigned long magnitude = ::strtoul(digits.c_str(), &end, 0);
  if (*end != '\0' || end != digits.c_str() + digits.size()) return EINVAL;
  if (errno == ERANGE) return ERANGE;
  const bool negative = text.starts_with('-');
  const unsigned long limit =
      negative ? -static_cast<unsigned long>(minimum) : static_cast<unsigned long>(maximum);
  if (magnitude > limit) return ERANGE;
  *value = static_cast<long>(negative ? -magnitude : magnitude);
  return 0;
}

// Relaxed: nothing is published through a parameter, and hosted code reads it plainly.
template <typename T>
void Store(void* variable, T value) {
  std::atomic_ref<T>(*static_cast<T*>(variable)).store(value, std::memory_order_relaxed);
}
template <typename T>
T LoadFrom(void* variable) {
  return std::atomic_ref<T>(*static_cast<T*>(variable)).load(std::memory_order_relaxed);
}

}  // namespace

bool ParseKernelBool(std::string_view text, bool* value) {
  const char first = text.empty() ? '\0' : text[0];
  const char second = text.size() < 2 ? '\0' : text[1];
  const bool on = first == 'o' || first == 'O';
  if (std::string_view("yYtT1").find(first) != std::string_view::npos ||
      (on && (second == 'n' || second == 'N'))) {
    *value = true;
    return first != '\0';
  }
  if (std::string_view("nNfF0").find(first) != std::string_view::npos ||
      (on && (second == 'f' || second == 'F'))) {
    *value = false;
    return first != '\0';
  }
  return false;
}

absl::Status ModuleParameters::Add(const std::string& name, ParameterKind kind, void* variable) {
  MutexLock lock(&mu_);
  if (Find(name) != nullptr) {
    return ErrnoStatus(EEXIST, absl::StrCat("the module has parameter '", name, "' twice"));
  }
  parameters_.push_back({name, kind, variable});
  return absl::OkStatus();
}

const ModuleParameters::Parameter* ModuleParameters::Find(std::string_view name) const {
  for (const Parameter& parameter : parameters_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

std::vector<std::string> ModuleParameters::Names() const {
  MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters_) names.push_back(parameter.name);
  return names;
}

absl::StatusOr<std::string> ModuleParameters::Get(std::string_view name) const {
  MutexLock lock(&mu_);
  const Parameter* const parameter = Find(name);
  if (parameter == nullptr) {
    return ErrnoStatus(ENOENT, absl::StrCat("there is no parameter '", View(name), "'"));
  }
  switch (parameter->kind) {
    case ParameterKind::kBool:
      return std::string(LoadFrom<bool>(parameter->variable) ? "Y" : "N");
    case ParameterKind::kInt:
      return absl::StrCat(LoadFrom<int>(parameter->variable));
    case ParameterKind::kLong:
      return absl::StrCat(LoadFrom<long>(parameter->variable));
    case ParameterKind::kString: {
      const char* const text = LoadFrom<const char*>(parameter->variable);
      return std::string(text == nullptr ? "(null)" : text);
    }
  }
  return ErrnoStatus(EINVAL, "a parameter of an unknown kind");
}

absl::Status ModuleParameters::Set(std::string_view name, std::string_view value) {
  MutexLock lock(&mu_);
  for (Parameter& parameter : parameters_) {
    if (parameter.name != name) continue;
    absl::Status set = SetLocked(parameter, value);
    if (set.ok()) parameter.value = std::string(value);
    return set;
  }
  return ErrnoStatus(ENOENT, absl::StrCat("there is no parameter '", View(name), "'"));
}

absl::Status ModuleParameters::SetLocked(const Parameter& parameter, std::string_view value) {
  int error = 0;
  long number = 0;
  bool flag = false;
  switch (parameter.kind) {
    case ParameterKind::kBool:
      error = ParseKernelBool(value, &flag) ? 0 : EINVAL;
      if (error == 0) Store(parameter.variable, flag);
      break;
    case ParameterKind::kInt:
      error = ParseLong(value, std::numeric_limits<int>::min(), std::numeric_limits<int>::max(),
                        &number);
      if (error == 0) Store(parameter.variable, static_cast<int>(number));
      break;
    case ParameterKind::kLong:
      error = ParseLong(value, std::numeric_limits<long>::min(), std::numeric_limits<long>::max(),
                        &number);
      if (error == 0) Store(parameter.variable, number);
      break;
    case ParameterKind::kString:
      if (value.ends_with('\n')) value.remove_suffix(1);
      Store(parameter.variable, strings_.emplace(value).first->c_str());
      break;
  }
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus(
      error, absl::StrCat("parameter '", parameter.name, "' cannot be '", View(value), "'"));
}

ParameterValues ModuleParameters::Values() const {
  MutexLock lock(&mu_);
  ParameterValues values;
  for (const Parameter& parameter : parameters_) {
    if (parameter.value.has_value()) values.emplace_back(parameter.name, *parameter.value);
  }
  return values;
}

absl::Status ModuleParameters::SetAll(const ParameterValues& values) {
  for (const auto& [name, value] : values) {
    const absl::Status set = Set(name, value);
    if (set.ok()) continue;
    const ErrnoDetail why = ErrnoOf(set);
    return ErrnoStatus(EINVAL, why.detail);
  }
  return absl::OkStatus();
}

}  // namespace mend
