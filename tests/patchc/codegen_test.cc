// What the code generation passes promise, seen in the objects that come out.
#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "patchc/codegen/stack_switch.h"
#include "patchc/compile/clang_runner.h"
#include "patchc/object/object_view.h"
#include "runtime/format/program_image.h"
#include "runtime/format/stack_switch_names.h"
#include "tests/patchc/compile_unit.h"

namespace mend::patchc {
namespace {

const FunctionDescription* FindFunction(const CompileResult& result, std::string_view name) {
  for (const FunctionDescription& function : result.description.functions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

const DataDescription* FindData(const CompileResult& result, std::string_view name) {
  for (const DataDescription& datum : result.description.data) {
    if (datum.name == name) return &datum;
  }
  return nullptr;
}

// The number of the section that the symbol is in; 0: there is none.
uint32_t SectionOf(const ObjectView& view, std::string_view name) {
  for (const ViewSymbol& symbol : view.symbols()) {
    if (symbol.name == name) return symbol.section;
  }
  return 0;
}

// The relocations of the section of `function` that go to `target`, a symbol or its section.
std::vector<ViewRelocation> RelocationsTo(const CompileResult& result, std::string_view function,
                                          std::string_view target) {
  std::vector<ViewRelocation> found;
  const absl::StatusOr<ObjectView> view = ObjectView::Parse(result.object);
  if (!view.ok()) return found;
  const uint32_t of_function = SectionOf(*view, function);
  const uint32_t of_target = SectionOf(*view, target);
  if (of_function == 0) return found;
  for (const ViewRelocation& relocation : view->sections()[of_function].relocations) {
    const ViewSymbol& symbol = view->symbols()[relocation.symbol];
    if (symbol.name == target || (of_target != 0 && symbol.section == of_target)) {
      found.push_back(relocation);
    }
  }
  return found;
}

bool Polls(const CompileResult& result, std::string_view function) {
  return !RelocationsTo(result, function, "__mend_tlsoff.__mend_poll").empty() &&
         !RelocationsTo(result, function, "__mend_poll_slow").empty();
}

class EntryStubTest : public testing::TestWithParam<const char*> {};

TEST_P(EntryStubTest, EveryFunctionOfEveryKindIsPatchable) {
  const CompileResult result = CompileUnit(R"(
    #include <stdexcept>
    struct Base { virtual ~Base() {} virtual int get() { return 1; } };
    struct Derived : Base { int get() override { return 2; } int value = 3; };
    static int hidden(int x) { return x > 3 ? hidden(x - 1) * 2 : x; }
    __attribute__((cold)) int rare(int x) { if (x) throw std::runtime_error("x"); return x; }
    template <class T> T twice(T x) { return x + x; }
    int use(Base* b, int x) try { return b->get() + hidden(x) + rare(x) + twice(x); }
    catch (std::exception&) { return -1; }
    Base* make() { return new Derived; }
    std::runtime_error global("at start");
  )",
                                           {GetParam()}, "c++");
  ASSERT_GE(result.description.functions.size(), 5U);
  for (const FunctionDescription& function : result.description.functions) {
    EXPECT_TRUE(function.patchable) << function.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, EntryStubTest,
                         testing::Values("-O0", "-O1", "-O2", "-O3", "-Os", "-Oz"));

TEST(CodegenTest, BranchProtectionDoesNotMoveTheStub) {
  const CompileResult result =
      CompileUnit("int f(int x) { return x; }", {"-O2", "-fcf-protection"});
  ASSERT_NE(FindFunction(result, "f"), nullptr);
  EXPECT_TRUE(FindFunction(result, "f")->patchable);
}

TEST(CodegenTest, NakedAndNamedSectionFunctionsAreNotPatchable) {
  const CompileResult result = CompileUnit(R"(
    __attribute__((naked)) void bare(void) { __asm__("ret"); }
    __attribute__((section("special"))) int placed(int x) { return x; }
    int ordinary(int x) { return x; }
  )");
  ASSERT_NE(FindFunction(result, "bare"), nullptr);
  ASSERT_NE(FindFunction(result, "placed"), nullptr);
  EXPECT_FALSE(FindFunction(result, "bare")->patchable);
  EXPECT_FALSE(FindFunction(result, "placed")->patchable);
  EXPECT_TRUE(FindFunction(result, "ordinary")->patchable);
}

TEST(CodegenTest, PartsOfCoroutinesAreNotPatchableButTheirRampIs) {
  const CompileResult result = CompileUnit(R"(
    #include <coroutine>
    struct Task {
      struct promise_type;
      std::coroutine_handle<promise_type> handle;
      struct promise_type {
        Task get_return_object() {
          return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
      };
    };
    int steps;
    Task run() { ++steps; co_await std::suspend_always(); ++steps; }
  )",
                                           {"-std=c++20", "-O2"}, "c++");
  int parts = 0;
  for (const FunctionDescription& function : result.description.functions) {
    const bool is_part = function.name.ends_with(".resume") ||
                         function.name.ends_with(".destroy") || function.name.ends_with(".cleanup");
    if (is_part) {
      ++parts;
      EXPECT_FALSE(function.patchable) << function.name;
    }
  }
  EXPECT_GE(parts, 2);
  ASSERT_NE(FindFunction(result, "_Z3runv"), nullptr);
  EXPECT_TRUE(FindFunction(result, "_Z3runv")->patchable);
}

// Without the pass the optimiser knows the results and makes no call at all.
TEST(DerefinableTest, CallersAbsorbNoFactsFromBodies) {
  const CompileResult result = CompileUnit(R"(
    __attribute__((noinline)) static int answer(void) { return 42; }
    __attribute__((noinline)) int question(void) { return 41; }
    int both(void) { return answer() + answer() + question() + question(); }
  )");
  EXPECT_EQ(RelocationsTo(result, "both", "answer").size(), 2U);
  EXPECT_EQ(RelocationsTo(result, "both", "question").size(), 2U);
}

TEST(DerefinableTest, LinkageIsWhatTheSourceSays) {
  const CompileResult result = CompileUnit(R"(
    static int unused(int x) { return x; }
    __attribute__((noinline)) static int hidden(int x) { return x; }
    __attribute__((weak)) int weak(int x) { return x; }
    inline int dropped(int x) { return x; }
    int visible(int x) { return hidden(x) + dropped(x) + (0 ? unused(x) : 0); }
  )");
  EXPECT_EQ(FindFunction(result, "unused"), nullptr);
  EXPECT_EQ(FindFunction(result, "dropped"), nullptr);
  ASSERT_NE(FindFunction(result, "hidden"), nullptr);
  EXPECT_EQ(FindFunction(result, "hidden")->binding, Binding::kLocal);
  EXPECT_EQ(FindFunction(result, "weak")->binding, Binding::kWeak);
  EXPECT_EQ(FindFunction(result, "visible")->binding, Binding::kGlobal);
}

TEST(PinStateTest, MutableStaticsKeepTheirSizeAndExistence) {
  const CompileResult result = CompileUnit(R"(
    static int flag;
    static struct { int a, b; } pair;
    void set(void) { flag = 1; pair.b = 2; }
    int get(void) { static int calls; ++calls; return flag; }
  )");
  ASSERT_NE(FindData(result, "flag"), nullptr);
  EXPECT_EQ(FindData(result, "flag")->size, 4U);
  ASSERT_NE(FindData(result, "pair"), nullptr);
  EXPECT_EQ(FindData(result, "pair")->size, 8U);
  EXPECT_NE(FindData(result, "get.calls"), nullptr);
}

class TlsTest : public testing::TestWithParam<const char*> {};

TEST_P(TlsTest, AccessesAreAbsoluteOffsets) {
  const CompileResult result = CompileUnit(R"(
    static __thread int own = 7;
    __thread long shared;
    extern __thread int theirs;
    int* address(void) { return &own; }
    long all(int i) { own += i; return own + ++shared + theirs; }
  )",
                                           {GetParam()});
  for (const char* name : {"own", "shared", "theirs"}) {
    const auto relocations = RelocationsTo(result, "all", std::string("__mend_tlsoff.") + name);
    ASSERT_FALSE(relocations.empty()) << name;
    for (const ViewRelocation& relocation : relocations) {
      EXPECT_EQ(relocation.type, static_cast<uint32_t>(R_X86_64_32S)) << name;
    }
  }
  ASSERT_NE(FindData(result, "__mend_tls.own"), nullptr);
  EXPECT_TRUE(FindData(result, "__mend_tls.own")->is_thread_local);
  EXPECT_EQ(FindData(result, "__mend_tls.own")->binding, Binding::kLocal);
  ASSERT_NE(FindData(result, "__mend_tls.shared"), nullptr);
  EXPECT_EQ(FindData(result, "__mend_tls.shared")->size, 8U);
  EXPECT_EQ(FindData(result, "__mend_tls.theirs"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Levels, TlsTest, testing::Values("-O0", "-O1", "-O2", "-Os"));

TEST(CodegenTest, ThreadLocalsOfCxxCompileAtEveryLevel) {
  for (const char* level : {"-O0", "-O2"}) {
    const CompileResult result = CompileUnit(R"(
      #include <string>
      thread_local std::string name = "none";
      inline thread_local int counter = 4;
      struct S { static thread_local std::string member; };
      thread_local std::string S::member;
      template <class T> struct V { static thread_local T value; };
      template <class T> thread_local T V<T>::value{3};
      std::string get() { return name + S::member + std::to_string(++counter + V<int>::value); }
    )",
                                             {level, "-std=c++20", "-g"}, "c++");
    EXPECT_NE(FindData(result, "__mend_tls.counter"), nullptr);
    EXPECT_NE(FindData(result, "__mend_tls.__tls_guard"), nullptr);
  }
}

TEST(PollTest, OnlyLoopsThatMayRunLongWithoutCallsPoll) {
  const CompileResult result = CompileUnit(R"(
    struct node { struct node* next; int value; };
    int external(int x);
    int chase(struct node* n) { int s = 0; while (n) { s += n->value; n = n->next; } return s; }
    int counted(const int* p, int n) { int s = 0; for (int i = 0; i < n; ++i) s += p[i]; return s; }
    int calls(struct node* n) { int s = 0; while (n) { s += external(s); n = n->next; } return s; }
    int straight(int x) { return x * 3; }
  )");
  EXPECT_TRUE(Polls(result, "chase"));
  EXPECT_FALSE(Polls(result, "counted"));
  EXPECT_FALSE(Polls(result, "calls"));
  EXPECT_FALSE(Polls(result, "straight"));
}

TEST(StackSwitchTest, LoadsOfAnotherStackAreTold) {
  for (const char* leaves :
       {"movq $1, %rsp", "mov ($0), %esp", "push %rbp\n\tmovq %rsp, ($0)\n\tmovq $1, %rsp",
        "xchgq %rsp, $0", "xchg $0, %rsp", "popq %rsp", "leaq 8($0), %rsp",
        "1: mov $0, %rsp; jmp *$1", "movq 8(%rdi,%rcx,8), %rsp",
        "mov %rsp, %rbx; mov $0, %rsp; call *$1; mov %rbx, %rsp"}) {
    EXPECT_TRUE(LoadsStackPointer(leaves, /*is_intel=*/false)) << leaves;
  }
  for (const char* stays :
       {"movq %rsp, $0", "pushq %rax; popq %rbx", "leaq -128(%rsp), %rsp", "movq %rbp, %rsp",
        "subq $$64, %rsp; addq $$64, %rsp", "andq $$-16, %rsp", "# movq $1, %rsp",
        "mov %rsp, %rbx; and $$-16, %rsp; call f; mov %rbx, %rsp",
        "mov %rsp, $0; mov 8(%rsp), %rsi; lea (%rsi), %rsp", "movq $0, %rdi", ""}) {
    EXPECT_FALSE(LoadsStackPointer(stays, /*is_intel=*/false)) << stays;
  }
  EXPECT_TRUE(LoadsStackPointer("mov rsp, $0", /*is_intel=*/true));
  EXPECT_TRUE(LoadsStackPointer("mov rsp, [rdi + 8]", /*is_intel=*/true));
  EXPECT_FALSE(LoadsStackPointer("mov $0, rsp", /*is_intel=*/true));
  EXPECT_FALSE(LoadsStackPointer("lea rsp, [rsp - 128]", /*is_intel=*/true));
}

TEST(StackSwitchTest, FunctionsThatGoToAnotherStackHaveAFlag) {
  const CompileResult result = CompileUnit(R"(
    void go(void **save, void *load) {
      __asm__ volatile("movq %%rsp, (%0); movq %1, %%rsp" : : "r"(save), "r"(load) : "memory");
    }
    unsigned long where(void) {
      unsigned long sp;
      __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
      return sp;
    }
  )");
  EXPECT_NE(FindData(result, "__mend_switched.go"), nullptr);
  EXPECT_EQ(FindData(result, "__mend_switched.where"), nullptr);
}

TEST(StackSwitchTest, FunctionsInAssemblerAreNamed) {
  const CompileResult result = CompileUnit(R"(
    __attribute__((naked)) void go(void **save, void *load) {
      __asm__("movq %rsp, (%rdi); movq %rsi, %rsp; ret");
    }
    __attribute__((naked)) void stay(void) { __asm__("movq %rsp, %rax; movq %rax, %rsp; ret"); }
    __asm__(".globl other; other: movq 8(%rdi), %rsp; ret");
    void use(char *);
    void compiled(unsigned long n) { char all[n]; use(all); }
  )");
  const absl::StatusOr<std::string_view> names = FindElfSection(result.object, kSwitchesSection);
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, std::string_view("other\0go\0", 9));
}

TEST(CodegenTest, AStaticFunctionsOwnAddressIsARelocation) {
  const CompileResult result = CompileUnit(R"(
    void keep(void*);
    static int self(int x) { keep((void*)self); return x; }
    int call(int x) { return self(x) + self(x + 1); }
  )",
                                           {"-O1", "-fno-inline"});
  const absl::StatusOr<ObjectView> view = ObjectView::Parse(result.object);
  ASSERT_TRUE(view.ok());
  const uint32_t text = SectionOf(*view, "self");
  ASSERT_NE(text, 0u);
  const auto leads_there = [&](const ViewRelocation& relocation) {
    return view->symbols()[relocation.symbol].section == text;
  };
  const bool has_pointer = std::any_of(
      view->sections().begin(), view->sections().end(), [&](const ViewSection& section) {
        return section.name == ".data.rel.ro" &&
               std::any_of(section.relocations.begin(), section.relocations.end(), leads_there);
      });
  EXPECT_TRUE(has_pointer);
}

TEST(CodegenTest, LtoIsDropped) {
  const CompileResult result = CompileUnit("int f(void) { return 1; }", {"-O2", "-flto"});
  EXPECT_NE(FindFunction(result, "f"), nullptr);
}

}  // namespace
}  // namespace mend::patchc
