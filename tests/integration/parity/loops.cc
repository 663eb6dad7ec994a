// Loops with objects to clean up and exceptions on all ways out. loops_test.sh compiles it with
// -fmend-loops=* too, and wants the same output.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

struct Traced {
  explicit Traced(std::string name) : name(std::move(name)) {
    std::printf("+%s ", this->name.c_str());
  }
  Traced(const Traced& other) : name(other.name + "'") { std::printf("+%s ", name.c_str()); }
  ~Traced() { std::printf("-%s ", name.c_str()); }
  std::string name;
};

int throws_at(int turn, int when) {
  if (turn == when) throw std::runtime_error("turn " + std::to_string(turn));
  if (turn == when + 100) throw turn;
  return turn;
}

// Objects around the loop, in it, and temporaries, left in every way.
int leaves(int way) {
  Traced around("around");
  for (int i = 0;; ++i) {
    Traced turn("turn" + std::to_string(i));
    if (way == 0 && i == 2) break;
    if (way == 1 && i == 2) return i * 10;
    if (way == 2 && i < 2) continue;
    throws_at(i, way == 3 ? 1 : 3);
    if (Traced temporary("temporary"); way == 4 && temporary.name.size() > 3) break;
    const Traced& longer = i % 2 ? Traced("odd") : Traced("even");
    std::printf("[%s] ", longer.name.c_str());
  }
  return 5;
}

// Handlers in the loop, around it, and in the caller.
int handles(int n) {
  int caught = 0;
  for (int i = 0; i < n; ++i) {
    try {
      Traced inner("inner");
      throws_at(i, 1);
      if (i == 3) throw std::string("text");
      if (i == 4) throw 4L;
      if (i == 5) break;
    } catch (const std::runtime_error& error) {
      Traced handling("handling");
      caught += static_cast<int>(std::string(error.what()).size());
      continue;
    } catch (const std::string& text) {
      caught += 100;
    } catch (...) {
      caught += 1000;
      if (caught > 5000) throw;
    }
    caught += 1;
  }
  return caught;
}

int around(int n) {
  try {
    for (int i = 0;; ++i) {
      Traced turn("in");
      if (i > n) return -1;
      throws_at(i, n);
    }
  } catch (const std::exception& error) {
    std::printf("<%s> ", error.what());
    return 7;
  }
  return 8;
}

int rethrows() {
  int turns = 0;
  try {
    while (true) {
      try {
        throws_at(++turns, 3);
      } catch (const std::runtime_error&) {
        if (turns < 3) continue;
        throw std::logic_error("again");
      }
    }
  } catch (const std::logic_error&) {
    return turns;
  }
}

struct Server {
  std::vector<std::string> lines = {"one", "two", "three", "stop", "never"};
  std::map<std::string, int> counts;
  int total = 0;

  int run(int limit) {
    auto add = [this, &limit](int n) {
      int added = 0;
      while (n-- > 0 && limit-- > 0) added += n, total += n;
      return added;
    };
    std::unique_ptr<std::string> last;
    for (const std::string& line : lines) {
      if (line == "stop") break;
      last = std::make_unique<std::string>(line + (last ? *last : ""));
      counts[line] += add(static_cast<int>(line.size()));
    }
    for (const auto& [name, count] : counts) std::printf("%s=%d ", name.c_str(), count);
    std::printf("%s ", last->c_str());
    return total;
  }

  virtual ~Server() = default;
  virtual int step(int n) { return n + total; }
};

struct Derived : Server {
  int step(int n) override {
    while (n < 10) n += Server::step(n) + 1;
    return n;
  }
};

template <typename T>
T sum(std::initializer_list<T> list) {
  T result{};
  for (const T& each : list) result += each;
  return result;
}

std::string returned(int n) {
  std::string result;
  do {
    std::string piece(static_cast<size_t>(n), static_cast<char>('a' + n));
    if (n == 1) return result + "!";
    result += piece;
  } while (--n);
  return result;
}

std::tuple<int, std::string> structured() {
  std::vector<std::pair<int, std::string>> pairs;
  for (int i = 0; i < 4; ++i) pairs.emplace_back(i, std::string(static_cast<size_t>(i), 'x'));
  int number = 0;
  std::string text;
  for (auto it = pairs.begin(); it != pairs.end(); ++it) {
    auto& [n, s] = *it;
    number += n;
    text += s + std::to_string(n);
  }
  return {number, text};
}

int arrays_of_objects() {
  int seen = 0;
  for (int i = 0; i < 2; ++i) {
    Traced three[3] = {Traced("a"), Traced("b"), Traced("c" + std::to_string(i))};
    std::unique_ptr<std::string[]> more(new std::string[4]);
    for (int j = 0; j < 4; ++j) more[static_cast<size_t>(j)] = three[j % 3].name;
    seen += static_cast<int>(more[3].size() + more[2].size());
  }
  return seen;
}

int never_throws(int n) noexcept {
  int result = 0;
  while (n-- > 0) {
    std::string text = std::to_string(n);
    result += static_cast<int>(text.size());
  }
  return result;
}

[[noreturn]] void endless(std::function<void(int)> turn) {
  Traced guard("guard");
  for (int i = 0;; ++i) {
    Traced local("local");
    turn(i);
  }
}

}  // namespace

int main() {
  for (int way = 0; way < 5; ++way) {
    try {
      const int result = leaves(way);
      std::printf("= %d\n", result);
    } catch (const std::exception& error) {
      std::printf("! %s\n", error.what());
    }
  }
  std::printf("= %d\n", handles(9));
  std::printf("= %d %d\n", around(2), rethrows());
  Server server;
  std::printf("= %d\n", server.run(9));
  Derived derived;
  std::printf("= %d %d %s\n", derived.step(3), sum({1, 2, 3}),
              sum<std::string>({"a", "b"}).c_str());
  const auto [number, text] = structured();
  std::printf("= %s %d %s\n", returned(4).c_str(), number, text.c_str());
  std::printf("= %d %d\n", arrays_of_objects(), never_throws(12));
  try {
    endless([](int i) { throws_at(i, 2); });
  } catch (const std::exception& error) {
    std::printf("! %s\n", error.what());
  }
  while (true) {
    Traced last("last");
    std::printf("\n");
    std::exit(3);
  }
}
