// Hosting a program: what a native linker and a native start do, done here.
#include "jit/session.h"

#include <algorithm>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jit/link/scratch_memory.h"
#include "runtime/base/failpoint.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Load(Session& session, const std::vector<std::string>& objects) {
  std::vector<ProgramObject> program;
  for (const std::string& object : objects) {
    program.push_back({program.empty() ? "first.o" : "second.o", object});
  }
  return std::string(session.LoadProgram("test", program).message());
}

TEST(SessionTest, StaticsOfOneNameInTwoObjectsStayApart) {
  const std::vector<std::string> objects = {
      Compile("static int step(void) { return 1; } static int (*volatile p)(void) = step;"
              "int other(void); int both(void) { return p() * 10 + other(); }"),
      Compile("static int step(void) { return 2; } static int (*volatile p)(void) = step;"
              "int other(void) { return p(); }")};
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "both")(), 12);
  auto ambiguous = session->FindFunction("step");
  EXPECT_THAT(std::string(ambiguous.status().message()),
              AllOf(HasSubstr("ambiguous"), HasSubstr("step,2")));
  auto second = session->FindFunction("step,2");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->unit, "1.o");
  EXPECT_EQ(second->sympos, 2u);
  EXPECT_EQ(*second->slot, second->entry.value + kEntryStubSize);
}

TEST(SessionTest, MissingSymbolIsNamedWithItsObjectAndTheNextLoadWorks) {
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  const std::string broken = Compile("int nowhere(void); int call(void) { return nowhere(); }");
  EXPECT_THAT(Load(**session, {broken}), AllOf(HasSubstr("nowhere"), HasSubstr("first.o")));
  EXPECT_FALSE((*session)->Lookup("call").ok());
  const std::string whole = Compile("int nowhere(void) { return 7; }");
  ASSERT_EQ(Load(**session, {broken, whole}), "");
  EXPECT_EQ(Find<int()>(**session, "call")(), 7);
}

TEST(SessionTest, DoubledSymbolIsNamedWithBothObjects) {
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  EXPECT_THAT(
      Load(**session, {Compile("int twice;"), Compile("int twice = 1;")}),
      AllOf(HasSubstr("duplicate symbol: twice"), HasSubstr("first.o"), HasSubstr("second.o")));
}

TEST(SessionTest, StrongDefinitionWinsOverWeakAndLargestCommonOverSmaller) {
  auto session =
      Host({Compile("__attribute__((weak)) int f(void) { return 1; }"
                    "int g(void) { return f(); }"
                    "__attribute__((common)) char c[4]; char *first(void) { return c; }"),
            Compile("int f(void) { return 2; }"
                    "__attribute__((common)) char c[4096];"
                    "char *second(void) { c[4095] = 1; return c; }")});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "g")(), 2);
  EXPECT_EQ(Find<char*()>(*session, "first")(), Find<char*()>(*session, "second")());
}

TEST(SessionTest, AProgramHasTheSymbolsOfALayout) {
  auto session =
      Host({Compile("extern char etext, end; int datum = 1;"
                    "int text_ends_behind(void) { return (char*)text_ends_behind < &etext; }"
                    "int program_ends_behind(void) { return (char*)&datum < &end; }")});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "text_ends_behind")(), 1);
  EXPECT_EQ(Find<int()>(*session, "program_ends_behind")(), 1);
}

TEST(SessionTest, AllocatorsInAnEmbeddingHostAreRefusedUnlessTheyAreHidden) {
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  const std::string c = Compile("void free(void* block) { (void)block; }");
  EXPECT_THAT(Load(**session, {c}),
              HasSubstr("first.o defines free: memory is allocated by the host"));
  const std::string cplusplus =
      Compile("void operator delete(void* block) noexcept { (void)block; }", /*cplusplus=*/true);
  EXPECT_THAT(Load(**session, {cplusplus}), HasSubstr("first.o defines operator delete(void*)"));
  const std::string hidden = Compile(
      "static int calls; __attribute__((visibility(\"hidden\"))) void free(void* block) {"
      "(void)block; ++calls; } int count(void) { free(0); return calls; }");
  ASSERT_EQ(Load(**session, {hidden}), "");
  EXPECT_EQ(Find<int()>(**session, "count")(), 1);
}

TEST(SessionTest, UndefinedWeakFunctionIsNull) {
  auto session =
      Host({Compile("__attribute__((weak)) void nowhere(void);"
                    "int is_null(void) { return nowhere == 0; }")});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "is_null")(), 1);
}

TEST(SessionTest, ConstructorsRunByPriorityThenInLinkOrder) {
  const std::string order =
      "extern volatile int order[8], at; static void note(int n) { order[at++] = n; }";
  auto session =
      Host({Compile("volatile int order[8], at;" + order +
                    "__attribute__((constructor)) static void a(void) { note(3); }"
                    "__attribute__((constructor(200))) static void b(void) { note(2); }"),
            Compile(order + "__attribute__((constructor)) static void a(void) { note(4); }"
                            "__attribute__((constructor(101))) static void b(void) { note(1); }")});
  ASSERT_NE(session, nullptr);
  const int* noted = Find<int>(*session, "order");
  EXPECT_THAT(std::vector<int>(noted, noted + 5), ::testing::ElementsAre(1, 2, 3, 4, 0));
}

TEST(SessionTest, TableAcrossObjectsIsInOnePieceInLinkOrder) {
  const std::string entry = "__attribute__((section(\"tbl\"), used)) static int e = ";
  auto session = Host({Compile(entry + "1; extern int __start_tbl[], __stop_tbl[];"
                                       "int sum(void) { int s = 0;"
                                       "for (int *p = __start_tbl; p < __stop_tbl; ++p)"
                                       "  s = s * 10 + *p; return s; }"),
                       Compile(entry + "2;"), Compile(entry + "3;")});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "sum")(), 123);
}

TEST(SessionTest, ThreadLocalsHaveTheirInitialValuesInEveryThread) {
  auto session =
      Host({Compile("int image __asm__(\"__mend_tls.x\")"
                    "  __attribute__((section(\".mend.tls.x\"))) = 5;"
                    "extern char off __asm__(\"__mend_tlsoff.x\") __attribute__((weak));"
                    "int next(void) {"
                    "  int *x = (int *)((char *)__builtin_thread_pointer() + (long)&off);"
                    "  return (*x)++; }")});
  ASSERT_NE(session, nullptr);
  auto* next = Find<int()>(*session, "next");
  EXPECT_EQ(next(), 5);
  EXPECT_EQ(next(), 6);
  int other = 0;
  std::thread([&] {
    session->InitializeThread();
    other = next();
  }).join();
  EXPECT_EQ(other, 5);
  EXPECT_EQ(next(), 7);
}

TEST(SessionTest, NativeThreadLocalIsRefusedByName) {
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  EXPECT_THAT(Load(**session, {Compile("_Thread_local int mine; int *f(void) { return &mine; }")}),
              AllOf(HasSubstr("mine"), HasSubstr("first.o"), HasSubstr("patchc")));
}

TEST(SessionTest, ExceptionCrossesHostedAndLibraryFrames) {
  auto session =
      Host({Compile("#include <algorithm>\n#include <stdexcept>\n#include <vector>\n"
                    "#include <stdlib.h>\n"
                    "static int compare(const void*, const void*) {"
                    "  throw std::runtime_error(\"x\"); }"
                    "extern \"C\" int run() { int v[] = {3, 1, 2};"
                    "  try { qsort(v, 3, sizeof(int), compare); }"
                    "  catch (const std::exception& e) { return e.what()[0]; }"
                    "  return 0; }",
                    true)});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "run")(), 'x');
}

TEST(SessionTest, FunctionChosenAtStartIsResolvedBeforeConstructors) {
  auto session =
      Host({Compile("static int one(void) { return 1; } static int two(void) { return 2; }"
                    "static void *choose(void) { return two; }"
                    "int f(void) __attribute__((ifunc(\"choose\")));"
                    "int early; __attribute__((constructor)) static void c(void) {"
                    "  early = f(); } int use(void) { return one() * 10 + f(); }")});
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(*Find<int>(*session, "early"), 2);
  EXPECT_EQ(Find<int()>(*session, "use")(), 12);
}

TEST(SessionTest, DescribesTextAndFindsFunctionsByCxxName) {
  auto session =
      Host({Compile("namespace a { int f(int x) { return x; } int f(long x) {"
                    "return static_cast<int>(x) + 1; } }",
                    true)});
  ASSERT_NE(session, nullptr);
  auto site = session->FindFunction("a::f(long)");
  ASSERT_TRUE(site.ok()) << site.status().ToString();
  EXPECT_EQ(session->Describe(site->entry + 9), "a::f(long)");
  EXPECT_EQ(session->Describe(CodeAddress{16}), "");
  EXPECT_EQ(session->FindFunction("a::f").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(session->FindFunction("a::g").status().code(), absl::StatusCode::kNotFound);
}

// A program that is large enough to be linked by several threads: `f<N>` of each unit calls the
// next one's. The first has the most to do.
std::vector<std::string> UnitsInARow(int count) {
  std::vector<std::string> objects;
  for (int i = 0; i < count; ++i) {
    const std::string own = std::to_string(i);
    const std::string next = i + 1 < count ? "f" + std::to_string(i + 1) + "()" : "0";
    std::string text = "int f" + std::to_string(i + 1) + "(void); char room" + own +
                       "[100000] = {1};" + "static int step(void) { return " + own +
                       "; } static int (*volatile p)(void) = step;" + "int f" + own +
                       "(void) { return p() + room" + own + "[0] - 1 + " + next + "; }";
    for (int more = 0; i == 0 && more < 500; ++more) {
      text += "int more" + std::to_string(more) + "(void) { return f0(); }";
    }
    objects.push_back(Compile(text));
  }
  return objects;
}

constexpr int kUnits = 12;

TEST(SessionTest, LargeProgramLiesInTheOrderOfItsUnits) {
  const std::vector<std::string> objects = UnitsInARow(kUnits);
  for (int round = 0; round < 5; ++round) {
    auto session = Host(objects);
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(Find<int()>(*session, "f0")(), kUnits * (kUnits - 1) / 2);
    std::vector<uintptr_t> text;
    std::vector<uintptr_t> data;
    std::vector<uintptr_t> slots;
    for (int i = 0; i < kUnits; ++i) {
      auto function = session->FindFunction("f" + std::to_string(i));
      auto datum = session->Lookup("room" + std::to_string(i));
      ASSERT_TRUE(function.ok());
      ASSERT_TRUE(datum.ok());
      text.push_back(function->entry.value);
      slots.push_back(reinterpret_cast<uintptr_t>(function->slot));
      data.push_back(datum->value);
    }
    EXPECT_TRUE(std::is_sorted(text.begin(), text.end()));
    EXPECT_TRUE(std::is_sorted(data.begin(), data.end()));
    EXPECT_TRUE(std::is_sorted(slots.begin(), slots.end()));
  }
}

TEST(SessionTest, LargeProgramIsLinkedWithoutThreadsToo) {
  const std::vector<std::string> objects = UnitsInARow(kUnits);
  ASSERT_TRUE(failpoint::Arm("runtime_thread/start"));
  auto session = Host(objects);
  failpoint::DisarmAll();
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Find<int()>(*session, "f0")(), kUnits * (kUnits - 1) / 2);
}

TEST(SessionTest, LargeProgramThatCannotBeLinkedIsRefusedByNameAndTheNextLoadWorks) {
  const std::vector<std::string> objects = UnitsInARow(kUnits);
  std::vector<std::string> broken = objects;
  broken[5].resize(broken[5].size() / 2);
  // Too far for the 32 bits of a displacement: seen when relocations are applied, or memory given.
  std::vector<std::string> far = objects;
  far[7] = Compile("char huge[1500000000]; int f8(void); int f7(void) { return huge[7] + f8(); }");
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  EXPECT_THAT(Load(**session, broken), HasSubstr("second.o"));
  EXPECT_THAT(Load(**session, far), HasSubstr("hosted memory is full"));
  EXPECT_FALSE((*session)->Lookup("f0").ok());
  ASSERT_EQ(Load(**session, objects), "");
  EXPECT_EQ(Find<int()>(**session, "f0")(), kUnits * (kUnits - 1) / 2);
}

TEST(SessionTest, MemoryOfTheLinkIsGivenBack) {
  const std::vector<std::string> objects = UnitsInARow(kUnits);
  auto session = Host(objects);
  ASSERT_NE(session, nullptr);
  EXPECT_FALSE(HoldsScratchMemory());
  EXPECT_NE(Load(**Session::Create({}), {Compile("int nowhere(void); int f(void) {"
                                                 "return nowhere(); }")}),
            "");
  EXPECT_FALSE(HoldsScratchMemory());
}

TEST(SessionTest, DamagedObjectIsRefused) {
  auto session = Session::Create({});
  ASSERT_TRUE(session.ok());
  const std::string object = Compile("int f(void) { return 1; }");
  EXPECT_NE(Load(**session, {object.substr(0, object.size() / 2)}), "");
  EXPECT_NE(Load(**session, {"no object at all"}), "");
}

}  // namespace
}  // namespace mend::jit
