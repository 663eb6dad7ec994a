// The network side: one epoll loop that reads request lines, and workers that answer them.
//
// A connection's requests are answered in order, one at a time; different connections are answered
// at the same time by different workers.
#ifndef MEND_SAMPLES_KV_SERVICE_SERVER_H_
#define MEND_SAMPLES_KV_SERVICE_SERVER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "handlers.h"
#include "work_queue.h"

namespace kv {

class Server {
 public:
  explicit Server(int workers);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Listens on 127.0.0.1; 0 picks a free port. Returns the port, or 0 when that fails.
  uint16_t Listen(uint16_t port);
  // Serves until `stop_descriptor` becomes readable.
  void Run(int stop_descriptor);

 private:
  struct Connection {
    explicit Connection(int socket) : descriptor(socket) {}
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const int descriptor;
    std::string input;  // the loop's: what is no full line yet
    std::mutex mutex;   // protects the rest
    std::deque<std::string> requests;
    bool scheduled = false;  // in the queue, or with a worker
  };

  void AcceptAll();
  // Reads what there is; returns false when the connection is over.
  bool Read(const std::shared_ptr<Connection>& connection);
  void Enqueue(const std::shared_ptr<Connection>& connection, std::string line);
  void Work();

  Service service_;
  WorkQueue<Connection> queue_;
  int listener_ = -1;
  int epoll_ = -1;
  std::unordered_map<int, std::shared_ptr<Connection>> connections_;  // the loop's
  std::vector<std::thread> workers_;
};

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_SERVER_H_
