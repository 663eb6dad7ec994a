#include "handlers.h"

namespace kv {

std::string AnswerVersion() { return "VERSION 1.0"; }

}  // namespace kv
