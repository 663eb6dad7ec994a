// Reading JSON that may be anything: typed access that reports instead of throwing. A reader
// remembers the first thing that was wrong; values read after that are empty.
#ifndef MEND_RUNTIME_FORMAT_JSON_FIELDS_H_
#define MEND_RUNTIME_FORMAT_JSON_FIELDS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend {

using Json = nlohmann::json;

class JsonFields {
 public:
  // `what` names the document in messages; `status` collects the first error.
  JsonFields(const Json& object, const char* what, absl::Status* status)
      : object_(object), what_(what), status_(status) {
    if (!object_.is_object()) Fail("an object", "the document");
  }

  std::string String(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return Fail("a string", key), std::string();
    return value->get<std::string>();
  }

  uint64_t Number(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned()) return Fail("a number", key), 0;
    return value->get<uint64_t>();
  }

  bool Bool(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return Fail("a boolean", key), false;
    return value->get<bool>();
  }

  std::vector<std::string> Strings(const char* key) {
    std::vector<std::string> strings;
    const Json* value = Array(key);
    if (value == nullptr) return strings;
    for (const Json& element : *value) {
      if (!element.is_string()) return Fail("strings", key), strings;
      strings.push_back(element.get<std::string>());
    }
    return strings;
  }

  // Reads an object whose values are strings.
  std::map<std::string, std::string> StringMap(const char* key) {
    std::map<std::string, std::string> strings;
    const Json* value = Find(key);
    if (value == nullptr) return strings;
    if (!value->is_object()) return Fail("an object", key), strings;
    for (const auto& [name, element] : value->items()) {
      if (!element.is_string()) return Fail("an object of strings", key), strings;
      strings.emplace(name, element.get<std::string>());
    }
    return strings;
  }

  // Reads an array of objects, one `read` each.
  template <typename T>
  std::vector<T> Objects(const char* key, T (*read)(JsonFields&)) {
    std::vector<T> objects;
    const Json* value = Array(key);
    if (value == nullptr) return objects;
    objects.reserve(value->size());
    for (const Json& element : *value) {
      JsonFields fields(element, what_, status_);
      if (!status_->ok()) return objects;
      objects.push_back(read(fields));
    }
    return objects;
  }

  // For values whose type is right but whose contents are not.
  void FailValue(const char* key) { Fail("a known value", key); }

 private:
  const Json* Find(const char* key) {
    if (!status_->ok()) return nullptr;
    const auto found = object_.find(key);
    if (found == object_.end()) return Fail("present", key), nullptr;
    return &*found;
  }

  const Json* Array(const char* key) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_array()) return Fail("an array", key), nullptr;
    return value;
  }

  void Fail(const char* expected, const char* key) {
    if (!status_->ok()) return;
    *status_ =
        absl::InvalidArgumentError(absl::StrCat(what_, ": field '", key, "' is not ", expected));
  }

  const Json& object_;
  const char* what_;
  absl::Status* status_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_JSON_FIELDS_H_
