#include "runtime/format/function_request.h"

#include <gtest/gtest.h>

namespace mend {
namespace {

TEST(FunctionRequestTest, PartsAreOptional) {
  EXPECT_EQ(ParseFunctionRequest("f").function, "f");
  EXPECT_EQ(ParseFunctionRequest("f").position, 0u);
  const FunctionRequest all = ParseFunctionRequest("lib:f,2");
  EXPECT_EQ(all.object, "lib");
  EXPECT_EQ(all.function, "f");
  EXPECT_EQ(all.position, 2u);
}

TEST(FunctionRequestTest, ColonsAndCommasOfCxxNamesBelongToTheFunction) {
  const FunctionRequest scoped = ParseFunctionRequest("kv::Store::Get(int, char)");
  EXPECT_EQ(scoped.object, "");
  EXPECT_EQ(scoped.function, "kv::Store::Get(int, char)");
  const FunctionRequest positioned = ParseFunctionRequest("kv::Get(int, char),3");
  EXPECT_EQ(positioned.function, "kv::Get(int, char)");
  EXPECT_EQ(positioned.position, 3u);
}

TEST(FunctionRequestTest, AbiTagsAndParametersMayBeLeftOut) {
  constexpr char kSymbol[] = "_ZN2kv9AnswerGetB5cxx11Ei";
  constexpr char kDemangled[] = "kv::AnswerGet[abi:cxx11](int)";
  for (const char* name : {kSymbol, kDemangled, "kv::AnswerGet", "kv::AnswerGet(int)"}) {
    EXPECT_TRUE(IsNameOfFunction(name, kSymbol, kDemangled)) << name;
  }
  for (const char* name : {"AnswerGet", "kv::Answer", "kv::AnswerGet(long)", ""}) {
    EXPECT_FALSE(IsNameOfFunction(name, kSymbol, kDemangled)) << name;
  }
}

TEST(FunctionRequestTest, AnonymousNamespaceIsPartOfTheName) {
  EXPECT_TRUE(IsNameOfFunction("(anonymous namespace)::f", "_ZN12_GLOBAL__N_11fEv",
                               "(anonymous namespace)::f()"));
}

}  // namespace
}  // namespace mend
