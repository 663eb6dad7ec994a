// How the functions of a patch's objects are found (the livepatch rules 1.3; the number is in the
// test's name), and functions of modules that are held.
#include <gmock/gmock.h>

#include "runtime/base/errno_status.h"
#include "tests/runtime/module/object_fixture.h"

namespace mend::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using SymbolTest = ObjectTest;

TEST_F(SymbolTest, I5_PositionsAndTheirErrors) {
  module_loader_.makings["mod"].symbols = {{"work", Work()}, {"work", Twin()}};
  ASSERT_TRUE(LoadModule("mod").ok());
  (void)Lines();
  const auto error_of = [&](unsigned sympos, const std::string& name) {
    return ErrnoOfStatus(
        registry()
            .Enable(MakeObjectPatch("bad", {}, {{"mod", name, Work2(), sympos}}, DemoCallbacks()))
            .status());
  };
  EXPECT_EQ(error_of(0, "work"), EINVAL);
  EXPECT_EQ(error_of(3, "work"), EINVAL);
  EXPECT_EQ(error_of(1, "nothing"), EINVAL);
  EXPECT_THAT(Lines(), ElementsAre("unresolvable ambiguity for symbol 'work' in object 'mod'",
                                   "symbol position 3 for symbol 'work' in object 'mod' not found",
                                   "symbol 'nothing' not found in symbol table"))
      << "and nothing of an enabling";
  EXPECT_THAT(registry().Status().patches, IsEmpty());
  EnableAndWait(MakeObjectPatch("good", {}, {{"mod", "work", Work2(), 2}}, {}));
  EXPECT_EQ(work(0), 100);
  EXPECT_EQ(twin(0), 200);
}

TEST_F(SymbolTest, I4_SameFunctionTwice) {
  for (const unsigned other : {0u, 1u}) {
    auto twice = MakeObjectPatch(
        "twice", {}, {{"mod", "work", Work2(), 1}, {"mod", "work", Work3(), other}}, {});
    EXPECT_EQ(ErrnoOfStatus(registry().Enable(std::move(twice)).status()), EEXIST);
  }
}

TEST_F(SymbolTest, I3_Names) {
  EXPECT_EQ(ErrnoOfStatus(registry()
                              .Enable(MakeObjectPatch(
                                  "long", {}, {{"mod", std::string(512, 'f'), Work2()}}, {}))
                              .status()),
            EINVAL);
  EXPECT_EQ(ErrnoOfStatus(
                registry()
                    .Enable(MakeObjectPatch("long", {}, {{std::string(56, 'm'), "f", Work2()}}, {}))
                    .status()),
            EINVAL);
  auto none = MakeObjectPatch("none", {}, {{"mod", "work", Work2()}}, {});
  none->objects[1].functions[0].new_body = {};
  EXPECT_EQ(ErrnoOfStatus(registry().Enable(std::move(none)).status()), EINVAL);
}

// Two names of one address are found out when the object is there.
TEST_F(SymbolTest, AliasesAreRefusedAtComing) {
  module_loader_.makings["mod"].symbols = {{"work", Work()}, {"alias", Work()}};
  EnableAndWait(
      MakeObjectPatch("demo", {}, {{"mod", "work", Work2()}, {"mod", "alias", Work3()}}, {}));
  (void)Lines();
  EXPECT_EQ(ErrnoOfStatus(LoadModule("mod")), EINVAL);
  EXPECT_THAT(Lines(),
              ElementsAre("failed to initialize patch 'demo' for module 'mod' (-22)",
                          "patch 'demo' failed for module 'mod', refusing to load module 'mod'"));
}

TEST_F(SymbolTest, HeldFunctionOfAModuleIsFoundWhenItComes) {
  auto patch = MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, {});
  FunctionSite held;
  held.object = "busy";
  held.name = "toil";
  patch->held.push_back(held);
  EnableAndWait(std::move(patch));
  ASSERT_TRUE(LoadModule("busy").ok());
  Occupy(toil);
  ASSERT_TRUE(registry().Disable("demo").ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "the held function is on a stack";
  gate_.Open();
  Settle();
}

// MEND_UNIT functions of modules are in no patch's list.
TEST_F(SymbolTest, UnitsOfModulesAreHeldByEveryPatch) {
  loader_.units["busy"] = {"toil"};
  ASSERT_TRUE(LoadModule("busy").ok());
  Occupy(toil);
  ASSERT_TRUE(registry().Enable(MakeObjectPatch("demo", {{Alpha(), Alpha2()}}, {}, {})).ok());
  EXPECT_FALSE(registry().Wait(kNotYet).ok()) << "the unit is on a stack";
  gate_.Open();
  Settle();
  ASSERT_TRUE(modules().Unload("busy").ok());
}

}  // namespace
}  // namespace mend::testing
