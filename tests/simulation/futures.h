// What each fiber of an explored history may still do while another one stands still, as far as it
// was seen in the histories so far: what the partial-order reduction (explorer.h) rests on.
//
// For each pair of a fiber that stands and another one there is a graph. A node is where the other
// one is (its control: what it is about to do, how deep in its stack, in which phase) and the
// situation of the one that stands (SituationOf); an edge was seen to be gone, by whatever others
// did. Each may be as coarse as one likes: what is merged may do all that its parts may.
//
// An answer that nothing of the kind may come is remembered. When an edge is seen that makes it
// wrong, all that was chosen since is in doubt (contradicted).
#ifndef MEND_TESTS_SIMULATION_FUTURES_H_
#define MEND_TESTS_SIMULATION_FUTURES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace mend::simulation {

class Futures {
 public:
  static constexpr size_t kFibersMax = 4;
  struct Use {
    uintptr_t location;
    bool writes;
  };

  // A control, by a number that stands for it, with what a fiber there is about to do.
  template <typename Uses>
  uint32_t ControlOf(uint64_t key, const Uses& uses) {
    const auto [found, is_new] = controls_.try_emplace(key, static_cast<uint32_t>(uses_.size()));
    if (is_new) uses_.emplace_back(uses());
    return found->second;
  }
  uint32_t NodeOf(size_t stands, size_t other, size_t situation, uint32_t control);
  // `to` was seen to come after `from`.
  void LeadsTo(size_t stands, size_t other, uint32_t from, uint32_t to);
  bool MayUse(size_t stands, size_t other, uint32_t node, const Use& use);

  bool contradicted() const { return contradicted_; }
  // Forgets what it was asked.
  void BeginAfresh();
  size_t nodes() const;

 private:
  enum : uint8_t { kMay = 1, kDenied = 2 };
  struct Graph {
    absl::flat_hash_map<uint64_t, uint32_t> nodes;  // by situation and control
    std::vector<uint32_t> controls;                 // of the nodes
    std::vector<std::vector<uint32_t>> before;
    std::vector<std::vector<uint32_t>> after;
    // By the number of the use, and by node.
    std::vector<std::vector<uint8_t>> marks;
  };
  static uint64_t KeyOf(const Use& use) { return use.location * 2 + (use.writes ? 1 : 0); }
  size_t NumberOf(const Use& use);
  bool Uses(uint32_t control, size_t use) const;
  // The node may; so may those before it.
  void Mark(Graph* graph, size_t use, uint32_t node);

  absl::flat_hash_map<uint64_t, uint32_t> controls_;
  std::vector<std::vector<Use>> uses_;  // by control
  absl::flat_hash_map<uint64_t, uint32_t> numbers_;
  std::vector<Use> numbered_;
  std::array<std::array<Graph, kFibersMax>, kFibersMax> graphs_;
  std::vector<uint32_t> to_mark_;
  bool contradicted_ = false;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_FUTURES_H_
