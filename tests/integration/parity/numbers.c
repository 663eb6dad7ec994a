// _Complex in all widths, __int128, vectors of 512 bits, long double.
// Also with: -O3 -march=native -ffast-math
#include <complex.h>
#include <immintrin.h>
#include <math.h>
#include <stdio.h>
typedef double v8 __attribute__((vector_size(64)));
typedef float v16 __attribute__((vector_size(64)));
__attribute__((noinline)) float _Complex fc(float _Complex a, float _Complex b) {
  return a * b + conjf(a);
}
__attribute__((noinline)) double _Complex dc(double _Complex a) { return cpow(a, 2) + cexp(a); }
__attribute__((noinline)) long double _Complex lc(long double _Complex a, long double _Complex b) {
  return a / b;
}
__attribute__((noinline)) v8 f8(v8 a, v8 b, int n, ...) { return a * b + (v8){n}; }
__attribute__((noinline)) v16 f16(v16 a) { return a * 2; }
static __int128 i128(__int128 a, unsigned __int128 b) { return a * (__int128)b / 7 % 1000000007; }
static _Complex int ci(_Complex int a) { return a * a; }
int main(void) {
  float _Complex f = fc(1 + 2 * I, 3 - I);
  double _Complex d = dc(0.5 + 0.25 * I);
  long double _Complex l = lc(1 + I, 3 - 2 * I);
  printf("%.4f %.4f %.6f %.6f %.8Lf %.8Lf\n", crealf(f), cimagf(f), creal(d), cimag(d), creall(l),
         cimagl(l));
  v8 a = {1, 2, 3, 4, 5, 6, 7, 8};
  v8 r = f8(a, a, 3, 1, 2);
  printf("%.1f %.1f\n", r[0], r[7]);
  v16 q = {1, 2, 3};
  q = f16(q);
  printf("%.1f\n", q[2]);
  printf("%lld\n", (long long)i128((__int128)1 << 90, 99999));
  _Complex int z = ci(3 + 4i);
  printf("%d %d\n", __real z, __imag z);
#ifdef __AVX512F__
  __m512i x = _mm512_set1_epi32(5);
  __mmask16 m = _mm512_cmpgt_epi32_mask(x, _mm512_setzero_si512());
  x = _mm512_mask_add_epi32(x, m, x, x);
  printf("%d\n", _mm512_reduce_add_epi32(x));
#endif
  printf("%La %a %.3Lf\n", sinl(1.0L), fma(1.1, 2.2, 3.3), lgammal(5.5L));
}
