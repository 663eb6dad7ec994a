// A queue of connections that have a request to answer. Workers wait here. Thread-safe.
#ifndef MEND_SAMPLES_KV_SERVICE_WORK_QUEUE_H_
#define MEND_SAMPLES_KV_SERVICE_WORK_QUEUE_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace kv {

template <typename Item>
class WorkQueue {
 public:
  void Push(std::shared_ptr<Item> item) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
  }

  // Waits for an item; null once the queue was closed.
  std::shared_ptr<Item> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (closed_) return nullptr;
    std::shared_ptr<Item> item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

  void Close() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::shared_ptr<Item>> items_;
  bool closed_ = false;
};

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_WORK_QUEUE_H_
