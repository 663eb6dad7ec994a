// binary-trees: many trees are made and let go, one stays; malloc and free, recursion.
// Usage: binary_trees DEPTH.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace {

struct Node {
  std::unique_ptr<Node> left, right;
};

std::unique_ptr<Node> Grow(int depth) {
  auto node = std::make_unique<Node>();
  if (depth > 0) {
    node->left = Grow(depth - 1);
    node->right = Grow(depth - 1);
  }
  return node;
}

int Count(const Node* node) {
  return node == nullptr ? 0 : 1 + Count(node->left.get()) + Count(node->right.get());
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kDepthMin = 4;
  const int depth_max = std::max(kDepthMin + 2, argc > 1 ? std::atoi(argv[1]) : 10);
  std::printf("stretch %d: %d\n", depth_max + 1, Count(Grow(depth_max + 1).get()));
  const std::unique_ptr<Node> long_lived = Grow(depth_max);
  for (int depth = kDepthMin; depth <= depth_max; depth += 4) {
    const int trees = 1 << (depth_max - depth + kDepthMin);
    int nodes = 0;
    for (int i = 0; i < trees; ++i) nodes += Count(Grow(depth).get());
    std::printf("%d trees of depth %d: %d\n", trees, depth, nodes);
  }
  std::printf("long lived %d: %d\n", depth_max, Count(long_lived.get()));
  return 0;
}
