// PreambleCache: what Clang made of the #include lines at the top of units, so that a unit that is
// compiled again and again reads its headers once. Clang's own precompiled preambles, as clangd
// uses them, in memory.
//
// A preamble stands only for the text and the files that it was made from: the cache checks both
// before every use. That a unit comes out the same with it and without is shown by
// tests/patchc/compare_fixture.h, which builds every edit both ways.
//
// One thread at a time.
#ifndef MEND_PATCHC_COMPILE_PREAMBLE_CACHE_H_
#define MEND_PATCHC_COMPILE_PREAMBLE_CACHE_H_

#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/PrecompiledPreamble.h>

#include <map>
#include <string>

namespace mend::patchc {

class PreambleCache {
 public:
  // Parses the beginning of the unit that `clang` is about to compile, and keeps it as `unit`'s in
  // place of an older one. `clang` stays as it is. Where that fails, as for a unit that begins with
  // no #include, nothing is kept: compiling is slower then, not wrong.
  void Keep(const std::string& unit, clang::CompilerInstance& clang);

  // Lets `clang` start from the unit's preamble. False, and `clang` as before: there is none, or it
  // stands for another text. The cache must outlive the compilation.
  bool Use(const std::string& unit, clang::CompilerInstance& clang);

 private:
  std::map<std::string, clang::PrecompiledPreamble> preambles_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_PREAMBLE_CACHE_H_
