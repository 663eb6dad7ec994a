// A program with operator new and delete of its own: what libstdc++ allocates is theirs, too.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <atomic>

namespace {

constexpr unsigned long kMagic = 0x6e6577;
struct Header {
  unsigned long magic;
  unsigned long size;
};
std::atomic<long> live{0};

void* Take(std::size_t size, std::size_t alignment) {
  const std::size_t space = alignment < sizeof(Header) ? sizeof(Header) : alignment;
  char* const memory =
      static_cast<char*>(std::aligned_alloc(space, (space + size + space - 1) / space * space));
  if (memory == nullptr) throw std::bad_alloc();
  char* const block = memory + space;
  *(reinterpret_cast<Header*>(block) - 1) = {kMagic, space};
  ++live;
  return block;
}

void Give(void* block) {
  if (block == nullptr) return;
  Header* const header = static_cast<Header*>(block) - 1;
  if (header->magic != kMagic) {
    std::fputs("a foreign block\n", stderr);
    std::_Exit(3);
  }
  header->magic = 0;
  --live;
  std::free(static_cast<char*>(block) - header->size);
}

}  // namespace

void* operator new(std::size_t size) { return Take(size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Take(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { Give(block); }
void operator delete(void* block, std::size_t) noexcept { Give(block); }
void operator delete(void* block, std::align_val_t) noexcept { Give(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { Give(block); }

struct alignas(128) Wide {
  char bytes[128];
};

int main() {
  const long before = live;
  {
    std::string line;
    std::getline(std::cin, line);
    for (int i = 0; i < 100; ++i) line += " and on and on";
    std::string copy = line.substr(3) + line;
    std::cout << copy.size() << " " << live - before << "\n";
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    for (int i = 0; i < 1000; ++i) stream << i << ' ';
    std::cout << stream.str().size() << "\n";
    std::map<std::string, std::vector<int>> many;
    for (int i = 0; i < 1000; ++i)
      many[std::to_string(i) + " long enough to be allocated"].push_back(i);
    auto wide = std::make_unique<Wide>();
    std::cout << reinterpret_cast<unsigned long>(wide.get()) % 128 << "\n";
    std::cout << std::filesystem::path("/tmp/some/where/../else").lexically_normal().string()
              << "\n";
    try {
      throw std::runtime_error("a message that is too long for the small string");
    } catch (const std::exception& error) {
      std::cout << error.what() << "\n";
    }
    try {
      std::locale nowhere("no_SUCH.locale");
    } catch (const std::exception& error) {
      std::cout << "no locale\n";
    }
    auto answer = std::async(std::launch::async, [] { return std::string(100, 'x'); });
    std::cout << answer.get().size() << "\n";
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([] {
        for (int n = 0; n < 1000; ++n) delete new std::string(100, 'y');
      });
    }
    for (std::thread& thread : threads) thread.join();
    void* const nothrow = ::operator new(100, std::nothrow);
    ::operator delete(nothrow, std::nothrow);
    delete[] new int[100];
    void (*const release)(void*) = &::operator delete;
    release(::operator new(10));
  }
  std::cout << "left: " << live - before << std::endl;
  return 0;
}
