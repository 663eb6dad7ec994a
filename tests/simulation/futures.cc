#include "tests/simulation/futures.h"

#include <algorithm>

namespace mend::simulation {

size_t Futures::NumberOf(const Use& use) {
  const auto [found, is_new] =
      numbers_.try_emplace(KeyOf(use), static_cast<uint32_t>(numbered_.size()));
  if (is_new) numbered_.push_back(use);
  return found->second;
}

bool Futures::Uses(uint32_t control, size_t use) const {
  const Use& wanted = numbered_[use];
  return std::any_of(uses_[control].begin(), uses_[control].end(), [&wanted](const Use& own) {
    return own.location == wanted.location && own.writes == wanted.writes;
  });
}

uint32_t Futures::NodeOf(size_t stands, size_t other, size_t situation, uint32_t control) {
  Graph& graph = graphs_[stands][other];
  const auto [found, is_new] = graph.nodes.try_emplace(
      uint64_t{situation} << 32 | control, static_cast<uint32_t>(graph.controls.size()));
  const uint32_t node = found->second;
  if (!is_new) return node;
  graph.controls.push_back(control);
  graph.before.emplace_back();
  graph.after.emplace_back();
  for (size_t use = 0; use < graph.marks.size(); ++use) {
    graph.marks[use].push_back(Uses(control, use) ? kMay : 0);
  }
  return node;
}

void Futures::Mark(Graph* graph, size_t use, uint32_t node) {
  std::vector<uint8_t>& marks = graph->marks[use];
  to_mark_ = {node};
  while (!to_mark_.empty()) {
    const uint32_t at = to_mark_.back();
    to_mark_.pop_back();
    if ((marks[at] & kMay) != 0) continue;
    if ((marks[at] & kDenied) != 0) contradicted_ = true;
    marks[at] |= kMay;
    to_mark_.insert(to_mark_.end(), graph->before[at].begin(), graph->before[at].end());
  }
}

void Futures::LeadsTo(size_t stands, size_t other, uint32_t from, uint32_t to) {
  if (from == to) return;
  Graph& graph = graphs_[stands][other];
  std::vector<uint32_t>& after = graph.after[from];
  if (std::find(after.begin(), after.end(), to) != after.end()) return;
  after.push_back(to);
  graph.before[to].push_back(from);
  for (size_t use = 0; use < graph.marks.size(); ++use) {
    if ((graph.marks[use][to] & kMay) != 0) Mark(&graph, use, from);
  }
}

bool Futures::MayUse(size_t stands, size_t other, uint32_t node, const Use& use) {
  const size_t number = NumberOf(use);
  Graph& graph = graphs_[stands][other];
  while (graph.marks.size() <= number) {
    const size_t next = graph.marks.size();
    graph.marks.emplace_back(graph.controls.size());
    for (uint32_t at = 0; at < graph.controls.size(); ++at) {
      if (Uses(graph.controls[at], next)) Mark(&graph, next, at);
    }
  }
  uint8_t& mark = graph.marks[number][node];
  if ((mark & kMay) != 0) return true;
  mark |= kDenied;
  return false;
}

void Futures::BeginAfresh() {
  contradicted_ = false;
  for (auto& by_other : graphs_) {
    for (Graph& graph : by_other) {
      for (std::vector<uint8_t>& marks : graph.marks) {
        for (uint8_t& mark : marks) mark &= kMay;
      }
    }
  }
}

size_t Futures::nodes() const {
  size_t nodes = 0;
  for (const auto& by_other : graphs_) {
    for (const Graph& graph : by_other) nodes += graph.controls.size();
  }
  return nodes;
}

}  // namespace mend::simulation
