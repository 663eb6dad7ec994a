// Coroutines, and an exception out of one.
#include <coroutine>
#include <cstdio>
#include <optional>
struct Gen {
  struct promise_type {
    int v;
    Gen get_return_object() {
      return Gen{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int x) {
      v = x;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { throw; }
  };
  std::coroutine_handle<promise_type> h;
  ~Gen() {
    if (h) h.destroy();
  }
  std::optional<int> next() {
    h.resume();
    if (h.done()) return {};
    return h.promise().v;
  }
};
Gen count(int n) {
  for (int i = 0; i < n; i++) co_yield i* i;
  if (n == 3) throw 42;
}
int main() {
  auto g = count(4);
  while (auto v = g.next()) std::printf("%d\n", *v);
  try {
    auto t = count(3);
    while (auto v = t.next()) std::printf("%d\n", *v);
  } catch (int e) {
    std::printf("caught %d\n", e);
  }
}
