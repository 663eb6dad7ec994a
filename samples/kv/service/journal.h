// The journal of reads: who read what, kept in memory, written out in batches by a thread of its
// own. While a batch is written the journal is locked, and readers wait.
#ifndef MEND_SAMPLES_KV_SERVICE_JOURNAL_H_
#define MEND_SAMPLES_KV_SERVICE_JOURNAL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kv {

class Journal {
 public:
  Journal();
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Appends an entry; waits while a batch is written.
  void Append(const std::string& entry);
  // Entries ever appended.
  uint64_t entries() const;

 private:
  void WriteBatches();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  uint64_t entries_ = 0;
  std::vector<std::string> batch_;
  std::thread writer_;  // last: it uses the others
};

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_JOURNAL_H_
