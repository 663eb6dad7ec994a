// Corners of C++20 and its library: exceptions through qsort, from constructors, coroutines and
// tasks; symmetric transfer, statics that are contended or fail first, a replaced operator new,
// terminate.
// Also with: -O3 -march=native -g -fno-plt -fvisibility=hidden
#include <any>
#include <array>
#include <atomic>
#include <bitset>
#include <charconv>
#include <chrono>
#include <compare>
#include <concepts>
#include <condition_variable>
#include <coroutine>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <iomanip>
#include <iostream>
#include <list>
#include <locale>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <numbers>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <set>
#include <shared_mutex>
#include <source_location>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <typeindex>
#include <unordered_map>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>
using namespace std::literals;
static long news, deletes;
void* operator new(std::size_t n) {
  news++;
  void* p = std::malloc(n);
  if (!p) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept {
  deletes++;
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  deletes++;
  std::free(p);
}
extern "C" int compare_throwing(const void* a, const void* b) {
  if (*(const int*)a == 3) throw std::runtime_error("from qsort");
  return *(const int*)a - *(const int*)b;
}
struct Task {
  struct promise_type {
    Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        return h.promise().next ? h.promise().next : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(int v) { value = v; }
    void unhandled_exception() { error = std::current_exception(); }
    int value = 0;
    std::exception_ptr error;
    std::coroutine_handle<> next;
  };
  std::coroutine_handle<promise_type> h;
  Task(std::coroutine_handle<promise_type> x) : h(x) {}
  Task(Task&& o) noexcept : h(std::exchange(o.h, {})) {}
  ~Task() {
    if (h) h.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> c) {
    h.promise().next = c;
    return h;
  }
  int await_resume() {
    if (h.promise().error) std::rethrow_exception(h.promise().error);
    return h.promise().value;
  }
  int run() {
    h.resume();
    return await_resume();
  }
};
Task leaf(int n) {
  if (n == 13) throw std::logic_error("unlucky");
  co_return n * 2;
}
Task tree(int n) {
  int s = 0;
  for (int i = 0; i < n; i++) s += co_await leaf(i);
  co_return s;
}
Task deep(int n) {
  if (n == 0) co_return 1;
  co_return 1 + co_await deep(n - 1);
}
struct Base {
  virtual ~Base() = default;
  virtual std::string name() const { return "base"; }
};
struct Left : virtual Base {
  std::string name() const override { return "left"; }
  int l = 1;
};
struct Right : virtual Base {
  int r = 2;
};
struct Both : Left, Right {
  std::string name() const override { return "both"; }
};
struct Thrower {
  Thrower(int n) : v(n) {
    if (n == 2) throw std::invalid_argument("ctor");
    std::printf("made %d\n", n);
  }
  ~Thrower() { std::printf("gone %d\n", v); }
  int v;
};
struct Holder {
  Thrower a, b;
  Holder() try : a(1), b(2) {
  } catch (const std::exception& e) {
    std::printf("function try %s\n", e.what());
  }
};
int once_count;
int contended() {
  static int v = [] {
    std::this_thread::sleep_for(5ms);
    return ++once_count;
  }();
  return v;
}
int fails_first() {
  static int tries = 0;
  static int v = [] {
    if (tries++ == 0) throw 1;
    return tries;
  }();
  return v;
}
template <std::integral T>
T twice(T x) {
  return x * 2;
}
struct P {
  int a, b;
  auto operator<=>(const P&) const = default;
};
thread_local std::vector<int> per_thread;
struct AtEnd {
  int n;
  ~AtEnd() { std::printf("thread end %d %zu\n", n, per_thread.size()); }
};
thread_local AtEnd at_end{0};
int main() {
  int v[] = {5, 3, 1};
  try {
    std::qsort(v, 3, sizeof(int), compare_throwing);
  } catch (const std::exception& e) {
    std::puts(e.what());
  }
  std::printf("coroutine %d %d\n", tree(10).run(), deep(5000).run());
  try {
    tree(20).run();
  } catch (const std::logic_error& e) {
    std::puts(e.what());
  }
  std::unique_ptr<Base> b = std::make_unique<Both>();
  std::printf("%s %d %d %s\n", b->name().c_str(), dynamic_cast<Right*>(b.get())->r,
              dynamic_cast<Left*>(b.get()) == static_cast<Left*>(dynamic_cast<Both*>(b.get())),
              typeid(*b.get()).name());
  try {
    Left left;
    std::printf("%d\n", dynamic_cast<Both&>(static_cast<Base&>(left)).l);
  } catch (const std::bad_cast& e) {
    std::puts(e.what());
  }
  try {
    Holder h;
  } catch (const std::invalid_argument& e) {
    std::puts(e.what());
  }
  {
    std::vector<std::jthread> t;
    std::atomic<int> s = 0;
    for (int i = 0; i < 16; i++) t.emplace_back([&] { s += contended(); });
    t.clear();
    std::printf("static %d %d\n", s.load(), once_count);
  }
  try {
    fails_first();
  } catch (int) {
    std::printf("again %d\n", fails_first());
  }
  std::exception_ptr p;
  try {
    try {
      throw std::out_of_range("first");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("second"));
    }
  } catch (...) {
    p = std::current_exception();
  }
  std::thread([p] {
    try {
      std::rethrow_exception(p);
    } catch (const std::exception& e) {
      try {
        std::rethrow_if_nested(e);
      } catch (const std::exception& n) {
        std::printf("%s <- %s\n", e.what(), n.what());
      }
    }
  }).join();
  std::thread([] {
    per_thread = {1, 2, 3};
    at_end.n = 5;
  }).join();
  std::variant<int, std::string, P> var = P{1, 2};
  std::printf("variant %zu %d\n", var.index(),
              std::visit(
                  [](auto& x) -> int {
                    if constexpr (std::is_same_v<std::decay_t<decltype(x)>, P>)
                      return x.b;
                    else
                      return 0;
                  },
                  var));
  try {
    std::get<int>(var);
  } catch (const std::bad_variant_access& e) {
    std::puts(e.what());
  }
  std::printf("%d %d\n", twice(21), (P{1, 2} < P{1, 3}));
  auto even = std::views::iota(1, 20) | std::views::filter([](int i) { return i % 2 == 0; }) |
              std::views::transform([](int i) { return i * i; });
  std::printf("ranges %d\n", std::accumulate(even.begin(), even.end(), 0));
  std::shared_mutex sm;
  {
    std::shared_lock l(sm);
    std::printf("shared %d\n", sm.try_lock_shared());
    sm.unlock_shared();
  }
  std::atomic<int> flag = 0;
  std::jthread w([&] {
    flag.wait(0);
    flag = 2;
    flag.notify_all();
  });
  flag = 1;
  flag.notify_all();
  while (flag != 2) flag.wait(1);
  std::printf("wait %d\n", flag.load());
  std::condition_variable_any cva;
  std::mutex m;
  std::stop_source ss;
  bool stopped = false;
  std::jthread st([&] {
    std::unique_lock l(m);
    stopped = !cva.wait(l, ss.get_token(), [] { return false; });
  });
  ss.request_stop();
  st.join();
  std::printf("stop %d\n", stopped);
  std::packaged_task<int(int)> pt([](int x) {
    if (x < 0) throw std::domain_error("neg");
    return x + 1;
  });
  auto fu = pt.get_future();
  std::thread(std::move(pt), -1).join();
  try {
    fu.get();
  } catch (const std::domain_error& e) {
    std::puts(e.what());
  }
  std::pmr::monotonic_buffer_resource mr;
  std::pmr::vector<int> pv(&mr);
  for (int i = 0; i < 1000; i++) pv.push_back(i);
  std::printf("pmr %d\n", std::accumulate(pv.begin(), pv.end(), 0));
  std::mt19937_64 rng(42);
  std::printf("rng %llu\n", (unsigned long long)rng());
  std::uniform_int_distribution<int> ud(1, 6);
  std::printf("%d\n", ud(rng));
  char buf[32];
  auto [ptr, ec] = std::to_chars(buf, buf + 32, 3.14159);
  std::printf("%.*s\n", (int)(ptr - buf), buf);
  std::cout << std::setw(8) << std::setfill('*') << std::hex << 255 << std::dec << ' ' << std::fixed
            << std::setprecision(3) << std::numbers::pi << '\n'
            << std::boolalpha << true << ' ' << std::put_time(std::gmtime(new time_t(0)), "%F %T")
            << std::endl;
  std::any a = std::string("any");
  std::printf("%s\n", std::any_cast<std::string&>(a).c_str());
  try {
    std::any_cast<int>(a);
  } catch (const std::bad_any_cast& e) {
    std::puts(e.what());
  }
  try {
    throw std::system_error(std::make_error_code(std::errc::permission_denied));
  } catch (const std::system_error& e) {
    std::printf("%d %s\n", e.code().value(), e.what());
  }
  std::valarray<double> va{1, 2, 3};
  std::printf("valarray %.1f\n", (va * va).sum());
  std::printf("%s:%u\n",
              std::strrchr(std::source_location::current().file_name(), '/') ? "path" : "name",
              std::source_location::current().line());
  try {
    volatile std::size_t huge = static_cast<std::size_t>(-1) / 16;
    new int[huge];
  } catch (const std::bad_alloc& e) {
    std::puts(e.what());
  }
  std::printf("new %d\n", news > 100 && deletes > 50);
  std::map<std::type_index, int> ti{{typeid(int), 1}, {typeid(std::string), 2}};
  std::printf("%d\n", ti[typeid(std::string)]);
  try {
    std::locale l("xx_YY");
  } catch (const std::runtime_error& e) {
    std::puts(e.what());
  }
  std::printf("uncaught %d\n", std::uncaught_exceptions());
  std::set_terminate([] {
    std::puts("terminated");
    std::fflush(stdout);
    std::_Exit(3);
  });
  throw 5;
}
