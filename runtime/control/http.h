// The seam between the control server and the module that speaks HTTP.
//
// The HTTP library brings OpenSSL along, which a hosted program must not get unasked. So it is
// linked into a small shared object of its own, which the server opens when the first client
// connects. The module only translates: every route lives on the server's side.
#ifndef MEND_RUNTIME_CONTROL_HTTP_H_
#define MEND_RUNTIME_CONTROL_HTTP_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mend {

struct HttpRequest {
  std::string method;                                      // GET, PUT, POST
  std::string path;                                        // decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // decoded
  std::string_view body;                                   // valid during the call
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  // Set: the answer goes on. Each call appends what to send next (nothing is fine) and returns
  // within about a second; false ends the answer. `body` is not sent then.
  std::function<bool(std::string* chunk)> next;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Thread-safe; blocks as long as the request takes.
  virtual HttpResponse Handle(const HttpRequest& request) = 0;
};

inline constexpr size_t kRequestBytesMax = size_t{256} << 20;

// What the module exports: serves one connection until it ends, and leaves `connection` open.
inline constexpr char kHttpServeSymbol[] = "mend_control_http_serve";
using HttpServeFunction = void (*)(int connection, HttpHandler* handler);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_HTTP_H_
