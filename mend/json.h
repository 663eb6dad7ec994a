// Reading what targets answer, which may be anything, and printing what commands report.
//
// Thread safety: functions without state.
#ifndef MEND_MEND_JSON_H_
#define MEND_MEND_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace mend {

using Json = nlohmann::ordered_json;

// The object that `text` is; null when it is something else.
Json ParseObject(const std::string& text);

// Fields of an answer: null, empty, zero or false when it is no object, or the field is missing or
// of another type.
const Json& FieldOf(const Json& object, const char* key);
std::string StringOf(const Json& object, const char* key);
int64_t NumberOf(const Json& object, const char* key);
bool BoolOf(const Json& object, const char* key);

// On one line. What is no UTF-8, in names that programs give themselves, is replaced.
std::string DumpJson(const Json& document);

// A line of standard output.
void PrintJson(const Json& document);

}  // namespace mend

#endif  // MEND_MEND_JSON_H_
