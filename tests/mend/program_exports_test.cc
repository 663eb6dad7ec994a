// The library made in memory, as the native loader sees it.
#include "mend/program_exports.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

// Opens the library for its own symbols only; null with a failed expectation when it is refused.
void* OpenBytes(const std::string& bytes) {
  const int descriptor = memfd_create("symbols", MFD_CLOEXEC);
  EXPECT_EQ(write(descriptor, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  void* const library =
      dlopen(absl::StrCat("/proc/self/fd/", descriptor).c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  close(descriptor);
  return library;
}

TEST(ProgramExportsTest, EverySymbolHasItsAddressWhereverTheLibraryLies) {
  std::vector<AbsoluteSymbol> symbols;
  for (uintptr_t i = 0; i < 5000; ++i) {
    // Of hosted programs' kind, and of any.
    symbols.push_back({absl::StrCat("_ZN7program6symbolILi", i, "EEEvv"),
                       CodeAddress{uintptr_t{0x7f0000000000} + 16 * i}});
  }
  symbols.push_back({"lowest", CodeAddress{1}});
  symbols.push_back({"highest", CodeAddress{UINTPTR_MAX}});
  void* const library = OpenBytes(MakeSymbolLibrary(symbols));
  ASSERT_NE(library, nullptr);
  for (const AbsoluteSymbol& symbol : symbols) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(dlsym(library, symbol.name.c_str())),
              symbol.address.value)
        << symbol.name;
  }
  EXPECT_EQ(dlsym(library, "nothing_of_it"), nullptr);
  dlclose(library);
}

TEST(ProgramExportsTest, NoSymbolsAreALibraryToo) {
  void* const library = OpenBytes(MakeSymbolLibrary({}));
  ASSERT_NE(library, nullptr);
  EXPECT_EQ(dlsym(library, "anything"), nullptr);
  dlclose(library);
}

}  // namespace
}  // namespace mend
