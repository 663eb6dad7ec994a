// One function per request; each answers with one line, without its line end.
#ifndef MEND_SAMPLES_KV_SERVICE_HANDLERS_H_
#define MEND_SAMPLES_KV_SERVICE_HANDLERS_H_

#include <string>

#include "journal.h"
#include "store.h"

namespace kv {

struct Service {
  Store store;
  Journal journal;
};

// Answers any request line. Thread-safe.
std::string Answer(Service& service, const std::string& line);

// GET KEY: "VALUE <encoded> <checksum>", or "NONE". Encodes first, then waits for the journal, then
// computes the checksum: whoever replaces the codec under a running service has to hold this
// function.
std::string AnswerGet(Service& service, const std::string& key);

// VERSION: what this service calls itself.
std::string AnswerVersion();

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_HANDLERS_H_
