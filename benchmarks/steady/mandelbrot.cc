// mandelbrot: which points of a square of the complex plane stay near the origin; floating point in
// registers, an exit from the inner loop that depends on the data. Usage: mandelbrot SIZE.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kIterations = 50;

bool StaysNear(double re, double im) {
  double x = 0, y = 0;
  for (int i = 0; i < kIterations; ++i) {
    const double x2 = x * x, y2 = y * y;
    if (x2 + y2 > 4) return false;
    y = 2 * x * y + im;
    x = x2 - y2 + re;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int size = argc > 1 ? std::atoi(argv[1]) : 200;
  std::uint64_t inside = 0, hash = 14695981039346656037u;
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column) {
      const bool stays = StaysNear(2.0 * column / size - 1.5, 2.0 * row / size - 1.0);
      inside += stays;
      hash = (hash ^ static_cast<std::uint64_t>(stays)) * 1099511628211u;
    }
  }
  std::printf("%llu %016llx\n", static_cast<unsigned long long>(inside),
              static_cast<unsigned long long>(hash));
  return 0;
}
