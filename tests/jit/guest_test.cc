// Linking guest modules beside a running program. What patches do to them, and in which order, is
// the core's business (tests/runtime/module, tests/conformance).
#include <pthread.h>
#include <semaphore.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jit/session.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::HasSubstr;

constexpr char kProgram[] =
    "int shared = 7; int answer(void) { return 41; }"
    "static int mine(void) { return 1; } int (*volatile taken)(void) = mine;";

std::unique_ptr<GuestModule> Linked(Session& session, const std::vector<std::string>& objects,
                                    const std::string& name = "guest") {
  auto module = session.Link(name, {.path = name, .bytes = GuestModuleFile(objects)});
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  return module.ok() ? *std::move(module) : nullptr;
}

std::string LinkError(Session& session, const std::string& bytes) {
  auto module = session.Link("guest", {.path = "guest.so", .bytes = bytes});
  return module.ok() ? "linked" : std::string(module.status().message());
}

template <typename Function>
Function* FindIn(const GuestModule& module, const std::string& name) {
  return reinterpret_cast<Function*>(Session::FindSymbol(module, name));
}

class GuestTest : public ::testing::Test {
 protected:
  const std::vector<std::string> objects_ = {CompileUnit("program", kProgram, {"answer", "mine"})};
  std::unique_ptr<Session> session_ = Host(objects_);
};

TEST_F(GuestTest, UsesTheProgramsGlobalsAndItsOwnNames) {
  auto module =
      Linked(*session_, {Compile("extern int shared; int answer(void);"
                                 "static int mine(void) { return 100; }"
                                 "int sum(void) { return ++shared + answer() + mine(); }")});
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(FindIn<int()>(*module, "sum")(), 8 + 41 + 100);
  EXPECT_EQ(*Find<int>(*session_, "shared"), 8);
  EXPECT_EQ(Session::FindSymbol(*module, "mine"), nullptr) << "a static is nobody else's";
  EXPECT_EQ(Session::FindSymbol(*module, "answer"), nullptr) << "the program's, not the module's";
}

TEST_F(GuestTest, FunctionsHaveNamesPositionsAndSlotsOfTheirObject) {
  auto module = Linked(*session_, {Compile("static int mine(void) { return 5; }"
                                           "int (*volatile first)(void) = mine;"),
                                   Compile("static int mine(void) { return 6; }"
                                           "int (*volatile second)(void) = mine;")});
  ASSERT_NE(module, nullptr);
  auto program = session_->FindFunction("mine");
  ASSERT_TRUE(program.ok()) << "the module's do not make the program's ambiguous: "
                            << program.status().ToString();
  EXPECT_EQ(program->object, "");
  auto second = session_->FindFunction("guest:mine,2");
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->object, "guest");
  EXPECT_EQ(second->sympos, 2u);
  EXPECT_NE(second->slot, nullptr);
  EXPECT_EQ(reinterpret_cast<int (*)()>(second->entry.value)(), 6);
  EXPECT_EQ(session_->Describe(second->entry), "mine");
  EXPECT_THAT(std::string(session_->FindFunction("guest:mine").status().message()),
              HasSubstr("ambiguous"));
  module.reset();
  EXPECT_FALSE(session_->FindFunction("guest:mine,2").ok());
}

TEST_F(GuestTest, ConstructorsRunInOrderAndDestructorsWhenItIsFinalized) {
  auto module = Linked(
      *session_,
      {Compile("extern int shared; extern \"C\" int atexit(void (*)());"
               "static void early() { shared = shared * 10 + 3; }"
               "struct S { S() { shared = 1; atexit(early); } ~S() { shared = shared * 10 + 2; } };"
               "static S s;"
               "__attribute__((destructor)) static void late() { shared = shared * 10 + 4; }"
               "__attribute__((destructor(200))) static void last() { shared = shared * 10 + 5; }",
               /*cplusplus=*/true)});
  ASSERT_NE(module, nullptr);
  int& shared = *Find<int>(*session_, "shared");
  EXPECT_EQ(shared, 7) << "nothing has run yet";
  module->RunInitializers();
  EXPECT_EQ(shared, 1);
  module->RunFinalizers();
  // As dlclose has it: functions marked destructor come first, but for those with a priority.
  // atexit's handler was registered before the object's destructor was.
  EXPECT_EQ(shared, 14235);
}

TEST_F(GuestTest, ThreadLocalsBeginWithTheirInitialValueInEveryThreadAndPlace) {
  // As TlsLoweringPass would leave it.
  const std::string text =
      "int image __asm__(\"__mend_tls.t\") __attribute__((section(\".mend.tls.t\"))) = 5;"
      "extern char offset[] __asm__(\"__mend_tlsoff.t\") __attribute__((weak));"
      "int bump(void) { int n; __asm__(\"movq $__mend_tlsoff.t, %%rax; addl $1, %%fs:(%%rax);"
      " movl %%fs:(%%rax), %0\" : \"=r\"(n) : : \"rax\"); return n; }";
  struct Older {
    Session* session;
    sem_t ready, go;
    int (*bump)() = nullptr;
    int result = 0;
  } older{session_.get(), {}, {}};
  sem_init(&older.ready, 0, 0);
  sem_init(&older.go, 0, 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  auto& o = *static_cast<Older*>(argument);
                  o.session->InitializeThread();
                  sem_post(&o.ready);
                  sem_wait(&o.go);
                  o.result = o.bump();
                  return nullptr;
                },
                &older),
            0);
  sem_wait(&older.ready);
  for (int round = 0; round < 3; ++round) {
    auto module = Linked(*session_, {Compile(text)});
    ASSERT_NE(module, nullptr);
    older.bump = FindIn<int()>(*module, "bump");
    EXPECT_EQ(older.bump(), 6) << "the place of the module before it, with its own value";
    EXPECT_EQ(older.bump(), 7);
    if (round < 2) continue;
    sem_post(&older.go);
    pthread_join(thread, nullptr);
    EXPECT_EQ(older.result, 6) << "a thread that is older than the module";
  }
}

TEST_F(GuestTest, ExceptionsPassThroughProgramAndModule) {
  auto module =
      Linked(*session_, {Compile("extern \"C\" int answer();"
                                 "static int thrower(int n) { if (n > 2) throw n; return n; }"
                                 "extern \"C\" int attempt(int n) { try { return thrower(n); }"
                                 " catch (int caught) { return caught * answer(); } }",
                                 /*cplusplus=*/true)});
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(FindIn<int(int)>(*module, "attempt")(3), 3 * 41);
}

TEST_F(GuestTest, UnloadedModulesLeaveNothingBehind) {
  const std::vector<std::string> text = {
      Compile("int counter; int count(void) { return ++counter; } const char* name(void) { return "
              "\"n\"; }")};
  Linked(*session_, text);
  const SessionUsage before = session_->Usage();
  for (int i = 0; i < 20; ++i) {
    auto module = Linked(*session_, text);
    ASSERT_NE(module, nullptr);
    EXPECT_EQ(FindIn<int()>(*module, "count")(), 1) << "its data is fresh";
    EXPECT_GT(session_->Usage().module_bytes, before.module_bytes);
  }
  EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
  EXPECT_EQ(session_->Usage().permanent_bytes, before.permanent_bytes);
}

TEST_F(GuestTest, ParametersInitAndExit) {
  auto module = Linked(
      *session_,
      {Compile(
          "struct p { const char* name; void* variable; unsigned long kind, size; };"
          "static int level = 3;"
          "static const struct p a __attribute__((used, section(\"mend_parameters\"))) ="
          " {\"level\", &level, 2, 4};"
          "static int init(void) { return -level; } static void leave(void) { level = 9; }"
          "extern __attribute__((visibility(\"hidden\"))) int (*const __mend_module_init)(void);"
          "__attribute__((used)) int (*const __mend_module_init)(void) = init;"
          "__attribute__((used)) void (*const __mend_module_exit)(void) = leave;")});
  ASSERT_NE(module, nullptr);
  EXPECT_THAT(module->parameters().Names(), ::testing::ElementsAre("level"));
  EXPECT_EQ(*module->parameters().Get("level"), "3");
  ASSERT_TRUE(module->parameters().Set("level", "19").ok());
  EXPECT_EQ(module->RunInit(), -19);
  module->RunExit();
  EXPECT_EQ(*module->parameters().Get("level"), "9");
  EXPECT_EQ(Session::FindSymbol(*module, "__mend_module_init"), nullptr);
}

TEST_F(GuestTest, DamagedDescriptionsOfParametersAreRefused) {
  const std::string declare =
      "struct p { const char* name; void* variable; unsigned long kind, size; }; static int v;"
      "static const struct p a __attribute__((used, section(\"mend_parameters\"))) = ";
  const SessionUsage before = session_->Usage();
  for (const std::string entry : {"{\"v\", &v, 2, 8};", "{\"v\", &v, 9, 4};",
                                  "{\"v\", (void*)16, 2, 4};", "{(char*)8, &v, 2, 4};"}) {
    EXPECT_THAT(LinkError(*session_, GuestModuleFile({Compile(declare + entry)})),
                HasSubstr("EINVAL"))
        << entry;
  }
  EXPECT_THAT(LinkError(*session_,
                        GuestModuleFile({Compile("int x; void* const __mend_module_init = &x;")})),
              HasSubstr("leads out of the module"));
  EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
}

TEST_F(GuestTest, WhatCannotBeLinkedIsRefusedByNameAndLeavesNothing) {
  const SessionUsage before = session_->Usage();
  EXPECT_THAT(LinkError(*session_, GuestModuleFile({Compile("int nowhere(void); int f(void) "
                                                            "{ return nowhere(); }")})),
              HasSubstr("nowhere"));
  EXPECT_THAT(
      LinkError(*session_, GuestModuleFile({Compile("int twice;"), Compile("int twice = 1;"),
                                            Compile("int twice = 2;")})),
      HasSubstr("twice"));
  EXPECT_THAT(LinkError(*session_, "no ELF file"),
              ::testing::StartsWith("ENOEXEC: module guest: "));
  EXPECT_THAT(LinkError(*session_, Compile("int not_a_module;")), HasSubstr("ENOEXEC"));
  auto missing = session_->Link("guest", {.path = "/no/such/file.so", .bytes = ""});
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("ENOENT"));
  EXPECT_EQ(session_->Usage().module_bytes, before.module_bytes);
  EXPECT_EQ(session_->Usage().permanent_bytes, before.permanent_bytes);
  EXPECT_FALSE(session_->FindFunction("guest:f").ok());
}

}  // namespace
}  // namespace mend::jit
