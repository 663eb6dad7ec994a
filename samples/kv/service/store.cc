#include "store.h"

#include <functional>
#include <utility>

namespace kv {

Store::Shard& Store::ShardOf(const std::string& key) {
  return shards_[std::hash<std::string>()(key) % shards_.size()];
}

const Store::Shard& Store::ShardOf(const std::string& key) const {
  return shards_[std::hash<std::string>()(key) % shards_.size()];
}

void Store::Set(const std::string& key, std::string value) {
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  shard.values[key] = std::move(value);
}

std::optional<std::string> Store::Get(const std::string& key) const {
  const Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  const auto found = shard.values.find(key);
  if (found == shard.values.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

bool Store::Delete(const std::string& key) {
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  return shard.values.erase(key) > 0;
}

std::size_t Store::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard<std::mutex> lock(shard.mutex);
    total += shard.values.size();
  }
  return total;
}

}  // namespace kv
