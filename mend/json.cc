#include "mend/json.h"

#include <cstdio>

namespace mend {

Json ParseObject(const std::string& text) {
  Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? object : Json();
}

const Json& FieldOf(const Json& object, const char* key) {
  static const Json* const null = new Json();
  if (!object.is_object()) return *null;
  const auto found = object.find(key);
  return found == object.end() ? *null : *found;
}

std::string StringOf(const Json& object, const char* key) {
  const Json& field = FieldOf(object, key);
  return field.is_string() ? field.get<std::string>() : std::string();
}

int64_t NumberOf(const Json& object, const char* key) {
  const Json& field = FieldOf(object, key);
  return field.is_number_integer() ? field.get<int64_t>() : 0;
}

bool BoolOf(const Json& object, const char* key) {
  const Json& field = FieldOf(object, key);
  return field.is_boolean() && field.get<bool>();
}

std::string DumpJson(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void PrintJson(const Json& document) { std::printf("%s\n", DumpJson(document).c_str()); }

}  // namespace mend
