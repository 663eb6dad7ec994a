// spectral-norm: the largest singular value of an infinite matrix's corner, by the power method;
// vectors, an integer division per element. Usage: spectral_norm SIZE.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Vector = std::vector<double>;

double Element(std::size_t row, std::size_t column) {
  const std::size_t diagonal = row + column;
  return 1.0 / static_cast<double>(diagonal * (diagonal + 1) / 2 + row + 1);
}

template <bool kTransposed>
void Multiply(const Vector& in, Vector& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < in.size(); ++j) {
      sum += (kTransposed ? Element(j, i) : Element(i, j)) * in[j];
    }
    out[i] = sum;
  }
}

void MultiplyBoth(const Vector& in, Vector& out, Vector& scratch) {
  Multiply<false>(in, scratch);
  Multiply<true>(scratch, out);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t size = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100;
  Vector u(size, 1.0), v(size), scratch(size);
  for (int i = 0; i < 10; ++i) {
    MultiplyBoth(u, v, scratch);
    MultiplyBoth(v, u, scratch);
  }
  double uv = 0, vv = 0;
  for (std::size_t i = 0; i < size; ++i) {
    uv += u[i] * v[i];
    vv += v[i] * v[i];
  }
  std::printf("%.9f\n", std::sqrt(uv / vv));
  return 0;
}
