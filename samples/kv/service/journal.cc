#include "journal.h"

#include <chrono>

namespace kv {
namespace {

constexpr auto kBatchEvery = std::chrono::milliseconds(4);
// Stands for the disk.
constexpr auto kBatchTakes = std::chrono::milliseconds(2);

}  // namespace

Journal::Journal() : writer_([this] { WriteBatches(); }) {}

Journal::~Journal() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  writer_.join();
}

void Journal::Append(const std::string& entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  batch_.push_back(entry);
  ++entries_;
}

uint64_t Journal::entries() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_;
}

void Journal::WriteBatches() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, kBatchEvery, [this] { return stopping_; })) {
    if (batch_.empty()) continue;
    std::this_thread::sleep_for(kBatchTakes);
    batch_.clear();
  }
}

}  // namespace kv
