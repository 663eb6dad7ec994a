#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace kv {
namespace {

// Sends all of `text`; waits when the client is slow to read.
void SendAll(int descriptor, const std::string& text) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = send(descriptor, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // the loop will notice
    sent += static_cast<std::size_t>(count);
  }
}

void Watch(int epoll, int descriptor) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

}  // namespace

Server::Connection::~Connection() { close(descriptor); }

Server::Server(int workers) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
}

Server::~Server() {
  queue_.Close();
  for (std::thread& worker : workers_) worker.join();
  if (listener_ >= 0) close(listener_);
  close(epoll_);
}

uint16_t Server::Listen(uint16_t port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener_, 128) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return 0;
  }
  return ntohs(address.sin_port);
}

void Server::Run(int stop_descriptor) {
  Watch(epoll_, listener_);
  Watch(epoll_, stop_descriptor);
  epoll_event events[64];
  for (;;) {
    const int count = epoll_wait(epoll_, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == stop_descriptor) return;
      if (descriptor == listener_) {
        AcceptAll();
        continue;
      }
      const auto found = connections_.find(descriptor);
      if (found == connections_.end() || Read(found->second)) continue;
      epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
      connections_.erase(found);  // closed once its worker lets go, too
    }
  }
}

void Server::AcceptAll() {
  for (;;) {
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) return;
    const int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connections_[descriptor] = std::make_shared<Connection>(descriptor);
    Watch(epoll_, descriptor);
  }
}

bool Server::Read(const std::shared_ptr<Connection>& connection) {
  char buffer[4096];
  const ssize_t count = recv(connection->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  connection->input.append(buffer, static_cast<std::size_t>(count));
  std::size_t start = 0;
  for (std::size_t end; (end = connection->input.find('\n', start)) != std::string::npos;
       start = end + 1) {
    Enqueue(connection, connection->input.substr(start, end - start));
  }
  connection->input.erase(0, start);
  return true;
}

void Server::Enqueue(const std::shared_ptr<Connection>& connection, std::string line) {
  {
    const std::lock_guard<std::mutex> lock(connection->mutex);
    connection->requests.push_back(std::move(line));
    if (connection->scheduled) return;
    connection->scheduled = true;
  }
  queue_.Push(connection);
}

void Server::Work() {
  while (const std::shared_ptr<Connection> connection = queue_.Pop()) {
    std::string request;
    {
      const std::lock_guard<std::mutex> lock(connection->mutex);
      request = std::move(connection->requests.front());
      connection->requests.pop_front();
    }
    SendAll(connection->descriptor, Answer(service_, request) + "\n");
    {
      const std::lock_guard<std::mutex> lock(connection->mutex);
      connection->scheduled = !connection->requests.empty();
      if (!connection->scheduled) continue;
    }
    queue_.Push(connection);
  }
}

}  // namespace kv
