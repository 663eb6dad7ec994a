// The hosted part of the server: what can be patched while it serves.
#include <cstdio>
#include <cstring>

namespace {

int requests;

}  // namespace

// Writes the answer to `request` into `answer`; returns the status.
extern "C" int handle_request(const char* request, char* answer, unsigned long size) {
  ++requests;
  if (std::strncmp(request, "GET /", 5) != 0) {
    std::snprintf(answer, size, "request %d: only GET is known", requests);
    return 200;
  }
  std::snprintf(answer, size, "request %d: you asked for %s", requests, request + 4);
  return 200;
}
