// The module that speaks HTTP for the control server (see http.h): cpp-httplib's request parser and
// response writer over a connection that the server has accepted.
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/control/http.h"

namespace mend {
namespace {

constexpr int kIdleTimeoutMs = 60'000;
constexpr int kWriteTimeoutMs = 60'000;
constexpr int kRequestsMax = 100'000;
constexpr int kUnsupportedMediaType = 415;

// A connected stream socket, buffered for reading: the library reads headers byte by byte.
class ConnectionStream : public httplib::Stream {
 public:
  explicit ConnectionStream(int connection) : connection_(connection) {}

  bool is_readable() const override { return at_ < end_ || Poll(POLLIN, kIdleTimeoutMs); }

  // False when the peer is gone, so that an endless answer ends with its reader.
  bool is_writable() const override {
    pollfd entry = {connection_, POLLOUT, 0};
    return ::poll(&entry, 1, kWriteTimeoutMs) > 0 && (entry.revents & (POLLHUP | POLLERR)) == 0;
  }

  ssize_t read(char* data, size_t size) override {
    if (at_ == end_) {
      if (!Poll(POLLIN, kIdleTimeoutMs)) return -1;
      ssize_t received;
      do {
        received = ::recv(connection_, buffer_, sizeof buffer_, 0);
      } while (received < 0 && errno == EINTR);
      if (received <= 0) return received;
      at_ = 0;
      end_ = static_cast<size_t>(received);
    }
    const size_t copied = std::min(size, end_ - at_);
    std::memcpy(data, buffer_ + at_, copied);
    at_ += copied;
    return static_cast<ssize_t>(copied);
  }

  ssize_t write(const char* data, size_t size) override {
    if (!Poll(POLLOUT, kWriteTimeoutMs)) return -1;
    ssize_t sent;
    do {
      sent = ::send(connection_, data, size, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return connection_; }

 private:
  bool Poll(int16_t events, int timeout_ms) const {
    pollfd entry = {connection_, events, 0};
    int ready;
    do {
      ready = ::poll(&entry, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
  }

  const int connection_;
  char buffer_[16384];
  size_t at_ = 0;
  size_t end_ = 0;
};

// `body` has to live as long as what comes back.
HttpRequest ToRequest(const httplib::Request& request, std::string_view body) {
  HttpRequest translated;
  translated.method = request.method;
  translated.path = request.path;
  translated.query.assign(request.params.begin(), request.params.end());
  translated.body = body;
  return translated;
}

// Sends an answer that goes on until its producer or its reader ends it.
void StreamResponse(HttpResponse answer, httplib::Response* response) {
  response->set_chunked_content_provider(
      answer.content_type, [next = std::move(answer.next)](size_t, httplib::DataSink& sink) {
        std::string chunk;
        const bool more = next(&chunk);
        if (!chunk.empty() && !sink.write(chunk.data(), chunk.size())) return false;
        if (!more) {
          sink.done();
          return true;
        }
        return sink.is_writable();
      });
}

class ConnectionServer : public httplib::Server {
 public:
  explicit ConnectionServer(HttpHandler* handler) : handler_(handler) {
    set_payload_max_length(kRequestBytesMax);
    Get("[^]*", [this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, {}, response);
    });
    // A body is what the request is about, whatever type the client gives it: the library would
    // take curl's for the fields of a form.
    const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& content) {
      if (request.is_multipart_form_data()) {
        response.status = kUnsupportedMediaType;
        response.set_header("Connection", "close");
        return;
      }
      std::string body;
      const bool is_whole = content([&body](const char* data, size_t size) {
        body.append(data, size);
        return true;
      });
      // The library has said why.
      if (!is_whole) return;
      Answer(request, body, response);
    };
    Put("[^]*", with_body);
    Post("[^]*", with_body);
  }

  void Serve(int connection) {
    ConnectionStream stream(connection);
    // Without a listening socket the library takes itself for shutting down, and ends streams.
    svr_sock_ = connection;
    for (int requests = 0; requests < kRequestsMax && stream.is_readable(); ++requests) {
      bool closed = false;
      if (!process_request(stream, /*close_connection=*/false, closed, nullptr) || closed) return;
    }
  }

 private:
  void Answer(const httplib::Request& request, const std::string& body,
              httplib::Response& response) {
    HttpResponse answer = handler_->Handle(ToRequest(request, body));
    response.status = answer.status;
    if (answer.next) return StreamResponse(std::move(answer), &response);
    response.set_content(answer.body, answer.content_type);
  }

  HttpHandler* const handler_;
};

}  // namespace
}  // namespace mend

extern "C" __attribute__((visibility("default"))) void mend_control_http_serve(
    int connection, mend::HttpHandler* handler) {
  try {
    mend::ConnectionServer(handler).Serve(connection);
  } catch (const std::exception&) {
    // The library is out of memory. Without any more of it the client is told so.
    static constexpr char kAnswer[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n\r\n"
        "{\"schema\":1,\"errno\":\"ENOMEM\",\"code\":\"\",\"message\":\"ENOMEM: the target has no "
        "memory "
        "to answer\",\"exit_code\":3}\n";
    (void)!::send(connection, kAnswer, sizeof kAnswer - 1, MSG_NOSIGNAL);
  }
}
