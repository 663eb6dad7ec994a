// The C++ library's threads, futures, synchronisation, RTTI over virtual bases, streams, regex.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <map>
#include <numeric>
#include <regex>
#include <semaphore>
#include <sstream>
#include <stop_token>
#include <thread>
#include <typeinfo>
#include <vector>
struct A {
  virtual ~A() = default;
  virtual int f() { return 1; }
};
struct B : virtual A {
  int f() override { return 2; }
};
struct C : virtual A {};
struct D : B, C {};
int main() {
  std::barrier b(3, []() noexcept {});
  std::atomic<int> n = 0;
  {
    std::vector<std::jthread> t;
    for (int i = 0; i < 3; i++)
      t.emplace_back([&] {
        n++;
        b.arrive_and_wait();
        n++;
        b.arrive_and_wait();
      });
  }
  std::cout << n << "\n";
  auto f = std::async(std::launch::async, [] { return 5; });
  std::cout << f.get() << "\n";
  std::promise<int> p;
  auto pf = p.get_future();
  std::thread th([&] { p.set_exception(std::make_exception_ptr(std::runtime_error("x"))); });
  th.join();
  try {
    pf.get();
  } catch (std::exception& e) {
    std::cout << e.what() << " " << typeid(e).name() << "\n";
  }
  std::jthread st([](std::stop_token s) {
    while (!s.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  st.request_stop();
  st.join();
  std::counting_semaphore<3> sem(0);
  std::thread rel([&] { sem.release(); });
  sem.acquire();
  rel.join();
  std::latch l(1);
  std::thread lt([&] { l.count_down(); });
  l.wait();
  lt.join();
  std::mutex m;
  std::condition_variable cv;
  bool ready = false;
  std::thread w([&] {
    std::lock_guard g(m);
    ready = true;
    cv.notify_all();
  });
  {
    std::unique_lock u(m);
    cv.wait(u, [&] { return ready; });
  }
  w.join();
  A* a = new D;
  std::cout << (dynamic_cast<C*>(a) != nullptr) << (dynamic_cast<B*>(a)->f()) << " "
            << typeid(*a).name() << "\n";
  delete a;
  std::regex re("(a+)(b*)");
  std::smatch sm;
  std::string s = "xxaaabb";
  std::cout << std::regex_search(s, sm, re) << sm[1] << sm[2] << "\n";
  std::ostringstream os;
  os << std::hex << 255 << " " << 1.5;
  std::cout << os.str() << "\n";
  std::vector<int> v(100);
  std::iota(v.begin(), v.end(), 0);
  std::sort(v.begin(), v.end(), std::greater<>());
  std::cout << v[0] << " " << std::accumulate(v.begin(), v.end(), 0) << "\n";
  std::function<int(int)> fib = [&](int k) { return k < 2 ? k : fib(k - 1) + fib(k - 2); };
  std::cout << fib(15) << "\n";
  try {
    std::filesystem::file_size("/nope");
  } catch (std::filesystem::filesystem_error& e) {
    std::cout << e.code().value() << "\n";
  }
  std::map<std::string, int> mm{{"a", 1}};
  std::cout << mm.at("a") << "\n";
  try {
    mm.at("z");
  } catch (std::out_of_range& e) {
    std::cout << e.what() << "\n";
  }
  std::string in;
  while (std::getline(std::cin, in)) std::cout << "[" << in << "]\n";
}
