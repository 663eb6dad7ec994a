// What C++20's library adds: generators with exceptions in them, stop tokens, barriers, atomics of
// shared pointers, over-aligned new; the messages of the library's exceptions.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <execution>
#include <filesystem>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <locale>
#include <map>
#include <memory>
#include <numbers>
#include <ranges>
#include <regex>
#include <semaphore>
#include <source_location>
#include <span>
#include <stop_token>
#include <string>
#include <syncstream>
#include <thread>
#include <variant>
#include <vector>
#include <version>
using namespace std::literals;
template <class T>
struct Gen {
  struct promise_type {
    T v;
    std::exception_ptr e;
    Gen get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void unhandled_exception() { e = std::current_exception(); }
    std::suspend_always yield_value(T x) {
      v = x;
      return {};
    }
    void return_void() {}
  };
  std::coroutine_handle<promise_type> h;
  ~Gen() { h.destroy(); }
  bool next() {
    h.resume();
    if (h.promise().e) std::rethrow_exception(h.promise().e);
    return !h.done();
  }
  T get() { return h.promise().v; }
};
struct G {
  const char* n;
  ~G() { std::printf("~%s %d\n", n, std::uncaught_exceptions()); }
};
Gen<int> g(int n) {
  G a{"a"};
  try {
    for (int i = 0; i < n; i++) {
      G b{"b"};
      if (i == 2) throw std::runtime_error("co");
      co_yield i;
    }
  } catch (std::exception& e) {
    std::printf("in co %s\n", e.what());
    throw;
  }
}
Gen<std::string> destroyed() {
  G a{"destroyed"};
  co_yield "one"s;
  co_yield "two"s;
}
struct Abs {
  virtual void f() = 0;
  virtual ~Abs() = default;
};
consteval int sq(int x) { return x * x; }
constinit thread_local int ct = sq(4);
struct alignas(128) Big {
  char c[128];
};
template <auto N>
struct NT {
  static inline int v = N;
};
enum class E { A, B };
using enum E;
int main() {
  try {
    auto x = g(5);
    while (x.next()) std::printf("%d\n", x.get());
  } catch (std::exception& e) {
    std::printf("%s\n", e.what());
  }
  {
    auto d = destroyed();
    d.next();
    std::printf("%s\n", d.get().c_str());
  }
  {
    std::osyncstream(std::cout) << "sync\n";
  }
  std::cout.flush();
  std::printf("%d %d\n", std::popcount(255u), std::bit_width(1000u));
  auto v = std::views::iota(0, 10) | std::views::reverse | std::views::take(3);
  for (int i : v) std::printf("%d ", i);
  std::puts("");
  auto b = std::make_unique<Big>();
  std::printf("%zu\n", (size_t)b.get() % 128);
  auto* nb = new (std::nothrow) Big[3];
  std::printf("%zu\n", (size_t)nb % 128);
  delete[] nb;
  std::atomic<std::shared_ptr<int>> as;
  as.store(std::make_shared<int>(5));
  std::printf("%d\n", *as.load());
  std::atomic_ref<int> ar(NT<7>::v);
  ar += 3;
  std::printf("%d\n", NT<7>::v);

  std::barrier bar(4, []() noexcept {
    static int k;
    std::printf("phase %d\n", k++);
  });
  {
    std::vector<std::jthread> t;
    for (int i = 0; i < 4; i++)
      t.emplace_back([&] {
        bar.arrive_and_wait();
        ct++;
        bar.arrive_and_wait();
      });
  }
  std::printf("%d\n", ct);
  std::stop_source ss;
  std::stop_callback cb(ss.get_token(), [] { std::puts("stopped"); });
  ss.request_stop();
  std::vector<int> q(1000);
  for (int i = 0; i < 1000; i++) q[i] = (i * 7919) % 1000;
  std::sort(q.begin(), q.end());
  std::printf("%d\n", std::ranges::is_sorted(q));
  std::printf("%s\n", std::source_location::current().function_name());
  auto tp = std::chrono::sys_days{std::chrono::year{2026} / 11 / 29};
  std::printf("%d\n", (int)std::chrono::weekday(tp).c_encoding());
  std::function<void()> f;
  try {
    f();
  } catch (std::bad_function_call& e) {
    std::puts(e.what());
  }
  try {
    std::vector<int>().at(1);
  } catch (std::exception& e) {
    std::puts(e.what());
  }
  try {
    std::stoi("x");
  } catch (std::exception& e) {
    std::puts(e.what());
  }
  try {
    std::regex r("(");
  } catch (std::regex_error& e) {
    std::puts(e.what());
  }
  try {
    std::string s;
    s.resize(s.max_size() + 1);
  } catch (std::length_error& e) {
    std::puts(e.what());
  }
  try {
    throw std::bad_typeid();
  } catch (std::bad_typeid& e) {
    std::puts(e.what());
  }
  try {
    std::thread t;
    t.join();
  } catch (std::system_error& e) {
    std::puts(e.what());
  }
  try {
    std::promise<int>* p = nullptr;
    (void)p;
    throw std::future_error(std::future_errc::broken_promise);
  } catch (std::logic_error& e) {
    std::puts(e.what());
  }
  std::locale::global(std::locale::classic());
  std::printf("%s\n", std::use_facet<std::numpunct<char>>(std::locale()).truename().c_str());
  for (auto& e : std::filesystem::directory_iterator("/proc/self/fd")) (void)e;
  using VV = std::variant<int, std::string>;
  VV a = "x";
  try {
    std::get<int>(a);
  } catch (std::exception& e) {
    std::puts(e.what());
  }
}
