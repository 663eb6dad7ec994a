// The keys and values. Thread-safe; sharded so that workers seldom meet.
#ifndef MEND_SAMPLES_KV_SERVICE_STORE_H_
#define MEND_SAMPLES_KV_SERVICE_STORE_H_

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace kv {

class Store {
 public:
  void Set(const std::string& key, std::string value);
  // The value of `key`; nothing when there is no such key.
  std::optional<std::string> Get(const std::string& key) const;
  // Returns whether there was such a key.
  bool Delete(const std::string& key);
  std::size_t size() const;

 private:
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::string> values;
  };
  Shard& ShardOf(const std::string& key);
  const Shard& ShardOf(const std::string& key) const;

  std::array<Shard, 8> shards_;
};

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_STORE_H_
