// Compiles a unit as patchc compiles it, from text, for tests of what comes out.
#ifndef MEND_TESTS_PATCHC_COMPILE_UNIT_H_
#define MEND_TESTS_PATCHC_COMPILE_UNIT_H_

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "patchc/compile/clang_runner.h"

namespace mend::patchc {

// `language`: "c" or "c++". The unit is /unit.c or /unit.cc, and has to compile.
inline CompileResult CompileUnit(std::string_view source, std::vector<std::string> flags = {"-O2"},
                                 const std::string& language = "c") {
  const std::string file = language == "c" ? "unit.c" : "unit.cc";
  CompileRequest request;
  request.directory = "/";
  request.language = language;
  request.arguments = std::move(flags);
  request.arguments.push_back(file);
  request.output = "unit.o";
  request.overlay["/" + file] = std::string(source);
  CompileResult result = ClangRunner().Compile(request);
  EXPECT_TRUE(result.ok) << result.diagnostics;
  return result;
}

}  // namespace mend::patchc

#endif  // MEND_TESTS_PATCHC_COMPILE_UNIT_H_
