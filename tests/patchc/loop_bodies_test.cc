// -fmend-loops: which loops' bodies become functions, what these are called, and what is left
// alone. That they do the same is tests/integration/loops_test.sh's business.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "patchc/compile/clang_runner.h"
#include "patchc/object/loop_flags.h"
#include "tests/patchc/compile_unit.h"

namespace mend::patchc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// The names of the unit's loop bodies.
std::vector<std::string> Bodies(const CompileResult& result) {
  std::vector<std::string> names;
  for (const FunctionDescription& function : result.description.functions) {
    if (!FunctionOfLoopBody(function.name).empty()) names.push_back(function.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Bodies(std::string_view source, std::vector<std::string> flags,
                                const std::string& language = "c") {
  return Bodies(CompileUnit(source, std::move(flags), language));
}

constexpr char kServer[] = R"(
  struct request { int id; char text[32]; };
  int next(struct request *r);
  void reply(int total, const char *text);
  void serve(int limit) {
    struct request r;
    int total = 0;
    long unused = limit;
    for (;;) {
      int got = next(&r);
      if (got < 0) continue;
      total += got;
      reply(total, r.text);
    }
  }
)";

std::string Edited(std::string_view from, std::string_view to) {
  std::string text = kServer;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

class LoopBodiesTest : public testing::TestWithParam<const char*> {
 protected:
  std::string level() const { return GetParam(); }
  // The name of the only body of kServer with an edit.
  std::string NameAfter(std::string_view from, std::string_view to) {
    const std::vector<std::string> bodies = Bodies(Edited(from, to), {level(), "-fmend-loops"});
    EXPECT_THAT(bodies, SizeIs(1)) << to;
    return bodies.empty() ? "" : bodies.front();
  }
};

TEST_P(LoopBodiesTest, AnEndlessLoopsBodyIsAPatchableFunction) {
  for (const char* debug : {"-g0", "-g1", "-g"}) {
    const CompileResult result = CompileUnit(kServer, {level(), debug, "-fmend-loops"});
    ASSERT_THAT(Bodies(result), ElementsAre(StartsWith("serve.loop.0.")));
    for (const FunctionDescription& function : result.description.functions) {
      EXPECT_TRUE(function.patchable) << function.name;
      if (function.name == "serve") continue;
      EXPECT_EQ(function.binding, Binding::kLocal);
    }
    EXPECT_EQ(result.diagnostics, "");
  }
}

TEST_P(LoopBodiesTest, NothingHappensUnasked) {
  EXPECT_THAT(Bodies(kServer, {level()}), IsEmpty());
  EXPECT_THAT(Bodies(kServer, {level(), "-fmend-loops", "-fno-mend-loops"}), IsEmpty());
}

TEST_P(LoopBodiesTest, DebugInformationIsWhatTheUserAskedFor) {
  EXPECT_EQ(CompileUnit(kServer, {level(), "-fmend-loops"}).object.find(".debug_info"),
            std::string::npos);
  EXPECT_NE(CompileUnit(kServer, {level(), "-fmend-loops", "-g"}).object.find(".debug_info"),
            std::string::npos);
}

TEST_P(LoopBodiesTest, TheNameStaysWhenOnlyTheBodyChanges) {
  const std::string name = NameAfter("", "");
  EXPECT_EQ(NameAfter("got < 0", "got <= 0"), name);
  EXPECT_EQ(NameAfter("int got = next(&r);", "int got = next(&r), more = got + 1; total += more;"),
            name);
  EXPECT_EQ(NameAfter("int got = next(&r);",
                      "int got = next(&r); struct request other; next(&other); if (got > 1) "
                      "{ int got = next(&other); total += got; }"),
            name);
  EXPECT_EQ(NameAfter("total += got;", "total += got + (int)unused + limit;"), name);
  EXPECT_EQ(NameAfter("total += got;", ""), name);
  EXPECT_EQ(NameAfter("reply(total, r.text);", "reply(1, \"none\");"), name);
}

TEST_P(LoopBodiesTest, TheNameChangesWithTheVariables) {
  const std::string name = NameAfter("", "");
  EXPECT_NE(NameAfter("int total = 0;", "int total = 0; int errors = 0;"), name);
  EXPECT_NE(NameAfter("int total = 0;", "long total = 0;"), name);
  EXPECT_NE(NameAfter("int total = 0;", "unsigned total = 0;"), name);
  EXPECT_NE(NameAfter("int total = 0;\n    long unused = limit;",
                      "long unused = limit;\n    int total = 0;"),
            name);
  EXPECT_NE(NameAfter("long unused", "long renamed"), name);
  EXPECT_NE(NameAfter("char text[32]", "char text[24]; int extra[2]"), name);
  EXPECT_NE(NameAfter("int id; char text[32];", "char text[32]; int id;"), name);
}

// Same places, same types, other meanings: the code around the loop cannot tell.
TEST_P(LoopBodiesTest, TheNameChangesWhenTwoVariablesChangePlaces) {
  const auto source = [](std::string_view first, std::string_view second) {
    return absl::StrCat("void use(int, int); void serve(void) { int ", std::string(first), " = 0, ",
                        std::string(second), " = 0; for (;;) { use(++up, --down); } }");
  };
  const std::vector<std::string> flags = {level(), "-fmend-loops"};
  EXPECT_EQ(Bodies(source("up", "down"), flags), Bodies(source("up", "down"), flags));
  EXPECT_NE(Bodies(source("up", "down"), flags), Bodies(source("down", "up"), flags));
}

TEST_P(LoopBodiesTest, NamedFunctionsHaveAllTheirOutermostLoopsOutlined) {
  constexpr char kSource[] = R"(
    int step(int);
    volatile int stop;
    int pump(int n) {
      while (!stop) { if (step(n) == 3) break; if (step(n) == 4) return 9; }
      for (int i = 0; i < n; ++i) for (int j = 0; j < i; ++j) step(i * j);
      do { --n; } while (step(n));
      return n;
    }
    int other(int n) { while (step(n)) ++n; return n; }
  )";
  const std::vector<std::string> names = Bodies(kSource, {level(), "-fmend-loops=pump,absent"});
  EXPECT_THAT(names, ElementsAre(StartsWith("pump.loop.0."), StartsWith("pump.loop.1."),
                                 StartsWith("pump.loop.2.")));
  EXPECT_THAT(Bodies(kSource, {level(), "-fmend-loops=*"}), SizeIs(4));
  EXPECT_THAT(Bodies(kSource, {level(), "-fmend-loops"}), IsEmpty());
}

TEST_P(LoopBodiesTest, WaysOutThatNobodyComesBackFromAreNone) {
  EXPECT_THAT(Bodies(R"(
    #include <assert.h>
    #include <stdlib.h>
    int step(void);
    int main(void) { while (step()) { assert(step() != 5); } exit(3); }
  )",
                     {level(), "-fmend-loops"}),
              ElementsAre(StartsWith("main.loop.0.")));
}

TEST_P(LoopBodiesTest, CxxLoopsWithCleanUps) {
  constexpr char kSource[] = R"(
    #include <string>
    #include <vector>
    #include <stdexcept>
    std::string read();
    void write(const std::string&);
    struct Server {
      std::vector<std::string> lines;
      void run();
      template <class T> void twice(T t) { for (;;) { lines.push_back(read()); write(lines[t]); } }
    };
    void Server::run() {
      std::string last;
      for (;;) {
        std::string line = read() + "x";
        try { write(line + last); } catch (const std::exception& e) { write(e.what()); }
        for (const auto& each : lines) if (each == line) last = each;
        lines.push_back(line);
      }
    }
    void use(Server& s) { s.twice(1); }
    void quiet(Server& s) noexcept { for (;;) { std::string line = read(); s.lines.push_back(line); } }
  )";
  for (const char* debug : {"-g0", "-g"}) {
    const CompileResult result = CompileUnit(kSource, {level(), debug, "-fmend-loops"}, "c++");
    EXPECT_EQ(result.diagnostics, "");
    EXPECT_THAT(Bodies(result), ElementsAre(StartsWith("_Z5quietR6Server.loop.0."),
                                            StartsWith("_ZN6Server3runEv.loop.0."),
                                            StartsWith("_ZN6Server5twiceIiEEvT_.loop.0.")));
    for (const FunctionDescription& function : result.description.functions) {
      if (function.name.starts_with("_ZN6Server5twiceIiEEvT_.loop")) {
        EXPECT_EQ(function.binding, Binding::kWeak);
      }
    }
  }
  EXPECT_THAT(Bodies(R"(
    struct Server { int n; void run(); }; int step(int);
    void Server::run() { while (step(n)) ++n; })",
                     {level(), "-fmend-loops=Server::run"}, "c++"),
              SizeIs(1));
}

TEST_P(LoopBodiesTest, WhatCannotBeOutlinedIsLeftAloneAndSaidSo) {
  struct Case {
    const char* source;
    const char* reason;
    const char* language = "c";
  };
  const Case cases[] = {
      {"#include <setjmp.h>\nint step(int); jmp_buf b;\n"
       "void f(void) { setjmp(b); for (;;) step(1); }",
       "calls setjmp"},
      {"int step(int);\nvoid f(void) { void *to = &&a; for (;;) { a: step(1); goto *to; } }",
       "the address of a label"},
      {"int step(int);\n"
       "void f(void) { for (;;) { __asm__ goto(\"\" : : : : out); step(1); out:; } }",
       "jumps of a special kind"},
      {"void keep(char *);\nvoid f(void) { for (;;) keep(__builtin_alloca(16)); }", "(alloca)"},
      {"void keep(char *);\nvoid f(int n) { for (;;) { char text[n]; keep(text); } }",
       "variable length"},
      {"void keep(char *);\nvoid f(int n, int m) { char text[n][m]; for (;;) keep(text[1]); }",
       "is no variable"},
      {"#include <stdarg.h>\nvoid keep(va_list);\n"
       "void f(int n, ...) { for (;;) { va_list l; va_start(l, n); keep(l); va_end(l); } }",
       "(va_start)"},
      {"void keep(void *);\nvoid f(void) { for (;;) keep(__builtin_frame_address(0)); }",
       "own frame"},
      {"int step(int);\n__attribute__((section(\"special\"))) void f(void) { for (;;) step(1); }",
       "section by name"},
      {"int step(int);\n__attribute__((nodebug)) void f(void) { for (;;) step(1); }",
       "no description of its variables"},
      {"int step(int);\nint f() { try { for (;;) step(1); } catch (int i) { return i; } }",
       "a handler around it", "c++"},
      {"int step(int);\nint f() { try { for (;;) step(1); } catch (...) { } return 1; }",
       "a handler around it", "c++"},
      {"struct S { ~S(); }; int step(int);\n"
       "int f() { try { for (;;) { S s; step(1); } } catch (int i) { return i; } }",
       "a handler around it", "c++"},
      {"#include <coroutine>\n"
       "struct T { struct promise_type { T get_return_object() { return {}; }\n"
       "  std::suspend_always initial_suspend() { return {}; }\n"
       "  std::suspend_always final_suspend() noexcept { return {}; }\n"
       "  void return_void() {} void unhandled_exception() {} }; };\n"
       "int step(int);\nT f() { for (;;) { step(1); co_await std::suspend_always(); } }",
       "coroutine", "c++"},
  };
  for (const Case& left : cases) {
    std::vector<std::string> flags = {level(), "-fmend-loops=f"};
    if (left.language == std::string("c++")) flags.push_back("-std=c++20");
    const CompileResult result = CompileUnit(left.source, flags, left.language);
    EXPECT_THAT(Bodies(result), IsEmpty()) << left.source;
    EXPECT_THAT(result.diagnostics, HasSubstr("takes no patches while it runs: "));
    EXPECT_THAT(result.diagnostics, HasSubstr(left.reason)) << left.source;
    EXPECT_THAT(result.diagnostics, HasSubstr("in 'f'"));
  }
}

TEST_P(LoopBodiesTest, LoopsThatEndAreNoneOfItsBusiness) {
  const CompileResult result = CompileUnit(R"(
    #include <setjmp.h>
    int step(int); jmp_buf b;
    int f(int n) { setjmp(b); for (int i = 0; i < n; ++i) step(i); for (;;) if (step(n)) return 1; }
    void g(void) { for (;;) ; }
  )",
                                           {level(), "-fmend-loops"});
  EXPECT_THAT(Bodies(result), IsEmpty());
  EXPECT_THAT(result.diagnostics, Not(HasSubstr("note")));
}

INSTANTIATE_TEST_SUITE_P(Levels, LoopBodiesTest,
                         testing::Values("-O0", "-O1", "-O2", "-O3", "-Os"));

TEST(LoopFlagsTest, AreTakenOutAndSayTheSameAgain) {
  std::vector<std::string> arguments = {"-O2", "-fmend-loops", "-fmend-loops=b,a", "x.c"};
  const LoopFlags flags = TakeLoopFlags(arguments);
  EXPECT_THAT(arguments, ElementsAre("-O2", "x.c"));
  EXPECT_TRUE(flags.enabled);
  EXPECT_THAT(LoopArguments(flags), ElementsAre("-fmend-loops=a,b"));
  arguments = {"-fmend-loops", "-fmend-loopsy"};
  EXPECT_THAT(LoopArguments(TakeLoopFlags(arguments)), ElementsAre("-fmend-loops"));
  EXPECT_THAT(arguments, ElementsAre("-fmend-loopsy"));
  arguments = {"-fmend-loops=a", "-fno-mend-loops"};
  EXPECT_THAT(LoopArguments(TakeLoopFlags(arguments)), IsEmpty());
}

TEST(LoopFlagsTest, ABodyNamesItsFunction) {
  const std::string name = NameOfLoopBody("_ZN1S3runEv", 12, "int a");
  EXPECT_EQ(FunctionOfLoopBody(name), "_ZN1S3runEv");
  EXPECT_NE(name, NameOfLoopBody("_ZN1S3runEv", 12, "int b"));
  EXPECT_EQ(FunctionOfLoopBody("serve"), "");
  EXPECT_EQ(FunctionOfLoopBody("serve.loop.0"), "");
  EXPECT_EQ(FunctionOfLoopBody("serve.loop.0.cold"), "");
  EXPECT_EQ(FunctionOfLoopBody("serve.loop.x.0123456789ab"), "");
}

}  // namespace
}  // namespace mend::patchc
