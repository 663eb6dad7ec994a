#include "runtime/control/attribute_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "runtime/control/patch_service.h"
#include "tests/runtime/control/fake_core.h"

namespace mend {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AttributeTreeTest : public testing::Test {
 protected:
  void Apply(const std::string& name, std::vector<std::string> functions, bool replace = true) {
    const absl::StatusOr<ApplyResult> report =
        service_.Apply(MakeModule(name, functions, "", replace), {.wait = {.no_wait = true}});
    ASSERT_TRUE(report.ok()) << report.status();
  }

  std::string Get(const std::string& path) const {
    const absl::StatusOr<std::string> value = tree_.Get(path);
    return value.ok() ? *value : std::string(value.status().message()).substr(0, 6);
  }

  std::string Set(const std::string& path, const std::string& value) const {
    const absl::Status status = tree_.Set(path, value);
    return std::string(status.message()).substr(0, status.message().find(':'));
  }

  EventLog events_;
  FakeLoader loader_;
  std::unique_ptr<PatchRegistry> registry_ = MakeFakeRegistry(&events_);
  PatchService service_{registry_.get(), &loader_, ""};
  FakeModuleLoader module_loader_;
  ModuleRegistry modules_{&module_loader_, registry_.get(), &events_, nullptr};
  AttributeTree tree_{registry_.get(), &modules_, "server"};
};

TEST_F(AttributeTreeTest, RootsAreAlwaysThere) {
  EXPECT_THAT(*tree_.List("/"), ElementsAre("livepatch", "module", "threads"));
  EXPECT_THAT(*tree_.List("livepatch"), IsEmpty());
}

TEST_F(AttributeTreeTest, EnabledPatchHasTheKernelsFiles) {
  Apply("fix", {"f", "g"});
  EXPECT_THAT(*tree_.List("/livepatch"), ElementsAre("fix"));
  EXPECT_THAT(*tree_.List("/livepatch/fix/"),
              ElementsAre("enabled", "transition", "force", "replace", "replace_set", "stack_order",
                          "server"));
  EXPECT_THAT(*tree_.List("livepatch/fix/server"), ElementsAre("patched", "f,1", "g,1"));
  EXPECT_THAT(*tree_.List("livepatch/fix/server/f,1"), IsEmpty());
  EXPECT_EQ(Get("livepatch/fix/enabled"), "1");
  EXPECT_EQ(Get("livepatch/fix/transition"), "0");
  EXPECT_EQ(Get("livepatch/fix/replace"), "1");
  EXPECT_EQ(Get("livepatch/fix/stack_order"), "1");
  EXPECT_EQ(Get("livepatch/fix/server/patched"), "1");
  EXPECT_EQ(Get("module/fix/refcnt"), "1");
}

TEST_F(AttributeTreeTest, LC13_DisabledPatchKeepsOnlyItsModule) {
  Apply("fix", {"f"});
  EXPECT_EQ(Set("livepatch/fix/enabled", "0"), "");
  EXPECT_THAT(*tree_.List("livepatch"), IsEmpty());
  EXPECT_EQ(Get("livepatch/fix/enabled"), "ENOENT");
  EXPECT_EQ(Set("livepatch/fix/enabled", "1"), "ENOENT");
  EXPECT_THAT(*tree_.List("module"), ElementsAre("fix"));
  EXPECT_EQ(Get("module/fix/refcnt"), "0");
}

TEST_F(AttributeTreeTest, WrongDirectionsAndKindsAreRefused) {
  Apply("fix", {"f"});
  EXPECT_EQ(Get("livepatch/fix/force"), "EACCES");
  EXPECT_EQ(Set("livepatch/fix/transition", "1"), "EACCES");
  EXPECT_EQ(Set("livepatch/fix/stack_order", "1"), "EACCES");
  EXPECT_EQ(Get("livepatch/fix"), "EISDIR");
  EXPECT_EQ(Set("livepatch/fix", "1"), "EISDIR");
  EXPECT_TRUE(absl::StartsWith(tree_.List("livepatch/fix/enabled").status().message(), "ENOTDIR"));
  EXPECT_EQ(Get("livepatch/nope/enabled"), "ENOENT");
  EXPECT_EQ(Get("nope"), "ENOENT");
}

TEST_F(AttributeTreeTest, EnabledTakesOnlyAChange) {
  Apply("fix", {"f"});
  EXPECT_EQ(Set("livepatch/fix/enabled", "1"), "EINVAL");
  EXPECT_EQ(Set("livepatch/fix/enabled", "maybe"), "EINVAL");
  EXPECT_EQ(Set("livepatch/fix/enabled", ""), "EINVAL");
  EXPECT_EQ(Set("livepatch/fix/enabled", "N\n"), "");
}

TEST_F(AttributeTreeTest, WritingTheOppositeInTransitionReverses) {
  const StuckThreads stuck(/*both_ways=*/true);
  Apply("fix", {"f"});
  EXPECT_EQ(Get("livepatch/fix/enabled"), "1");
  EXPECT_EQ(Get("livepatch/fix/transition"), "1");
  EXPECT_EQ(Set("livepatch/fix/enabled", "0"), "");
  EXPECT_EQ(Get("livepatch/fix/enabled"), "0");
  EXPECT_FALSE(registry_->Status().transition_patching);
  EXPECT_EQ(Set("livepatch/fix/enabled", "1"), "");
  EXPECT_TRUE(registry_->Status().transition_patching);
}

TEST_F(AttributeTreeTest, DisablingAnotherPatchInATransitionIsBusy) {
  Apply("old", {"f"});
  const StuckThreads stuck;
  Apply("new", {"g"}, /*replace=*/false);
  EXPECT_EQ(Set("livepatch/old/enabled", "0"), "EBUSY");
}

// Generations that are stacked: a bare name means the newest, for reading and for writing.
TEST_F(AttributeTreeTest, ABareNameIsTheNewestGeneration) {
  Apply("fix", {"f"}, /*replace=*/false);
  Apply("fix", {"g"}, /*replace=*/false);
  EXPECT_THAT(*tree_.List("livepatch"), ElementsAre("fix", "fix~2"));
  EXPECT_EQ(Get("livepatch/fix/stack_order"), "2");
  EXPECT_EQ(Get("livepatch/fix~1/stack_order"), "1");
  EXPECT_EQ(Get("livepatch/fix~2/stack_order"), "2");
  EXPECT_THAT(*tree_.List("livepatch/fix~1/server"), ElementsAre("patched", "f,1"));
  EXPECT_EQ(Set("livepatch/fix~1/enabled", "0"), "");
  EXPECT_THAT(*tree_.List("livepatch"), ElementsAre("fix~2"));
  EXPECT_EQ(Get("module/fix~1/refcnt"), "0");
  EXPECT_EQ(Get("module/fix/refcnt"), "1");
  EXPECT_EQ(Get("livepatch/fix~1/enabled"), "ENOENT");
  EXPECT_EQ(Get("livepatch/fix/enabled"), "1");
  EXPECT_EQ(Set("livepatch/fix/enabled", "0"), "");
  EXPECT_THAT(*tree_.List("livepatch"), IsEmpty());
}

TEST_F(AttributeTreeTest, AModuleComesBeforeThePatchOfItsName) {
  loader_.parameter = "level";
  Apply("plugin", {"f"});
  EXPECT_EQ(Get("module/plugin/refcnt"), "1");
  ASSERT_TRUE(modules_.Load("plugin", {.path = "plugin.so", .bytes = ""}, {}).ok());
  EXPECT_EQ(Get("module/plugin/refcnt"), "0");
  EXPECT_EQ(Get("module/plugin/parameters/verbose"), "N");
  EXPECT_EQ(Get("module/plugin~1/refcnt"), "1");
  EXPECT_EQ(Get("module/plugin~1/parameters/verbose"), "ENOENT");
  // What the module does not have may be the patch's.
  EXPECT_EQ(Set("module/plugin/parameters/level", "7"), "");
  EXPECT_EQ(Get("module/plugin~1/parameters/level"), "7");
  EXPECT_TRUE(modules_.Unload("plugin").ok());
}

TEST_F(AttributeTreeTest, ForceIsForThePatchInTransition) {
  Apply("old", {"f"});
  EXPECT_EQ(Set("livepatch/old/force", "1"), "EINVAL");
  EXPECT_EQ(Set("livepatch/old/force", "0"), "");
  const StuckThreads stuck;
  Apply("new", {"g"}, /*replace=*/false);
  EXPECT_EQ(Set("livepatch/old/force", "1"), "EINVAL");
  EXPECT_EQ(Set("livepatch/new/force", "0"), "");
  EXPECT_EQ(Get("livepatch/new/transition"), "1");
  EXPECT_EQ(Set("livepatch/new/force", "1"), "");
  EXPECT_EQ(Get("livepatch/new/transition"), "0");
}

TEST_F(AttributeTreeTest, T14_ThreadsSayTheirPatchState) {
  EXPECT_EQ(Get("threads/100/patch_state"), "-1");
  const StuckThreads stuck;
  Apply("fix", {"f"});
  EXPECT_EQ(Get("threads/100/patch_state"), "1");
  EXPECT_EQ(Get("threads/101/patch_state"), "0");
}

TEST_F(AttributeTreeTest, UnregisteredStacksAreRefusedOrIgnored) {
  EXPECT_EQ(Get("threads/unregistered_stack"), "none");
  EXPECT_EQ(Set("threads/unregistered_stack", "1"), "EINVAL");
  EXPECT_EQ(Set("threads/unregistered_stack", "ignore"), "");
  EXPECT_EQ(Get("threads/unregistered_stack"), "ignored");
  EXPECT_EQ(Set("threads/unregistered_stack", "refuse"), "");
  EXPECT_EQ(Get("threads/unregistered_stack"), "none");
}

TEST_F(AttributeTreeTest, ParametersOfPatchesAndModules) {
  loader_.parameter = "level";
  Apply("fix", {"f"});
  EXPECT_THAT(*tree_.List("module/fix/parameters"), ElementsAre("level"));
  EXPECT_EQ(Get("module/fix/parameters/level"), "0");
  EXPECT_EQ(Set("module/fix/parameters/level", "-19"), "");
  EXPECT_EQ(loader_.parameter_value, -19);
  EXPECT_EQ(Get("module/fix/parameters/level"), "-19");
  EXPECT_EQ(Set("module/fix/parameters/level", "many"), "EINVAL");
  EXPECT_EQ(Set("module/fix/parameters/level", "4294967296"), "ERANGE");
  EXPECT_EQ(Get("module/fix/parameters/level"), "-19");
  EXPECT_EQ(Set("module/fix/parameters/other", "1"), "ENOENT");

  ASSERT_TRUE(modules_.Load("plugin", {.path = "plugin.so", .bytes = ""}, {{"verbose", "y"}}).ok());
  EXPECT_THAT(*tree_.List("module"), ElementsAre("fix", "plugin"));
  EXPECT_THAT(*tree_.List("module/plugin"), ElementsAre("parameters", "refcnt"));
  EXPECT_EQ(Get("module/plugin/parameters/verbose"), "Y");
  EXPECT_EQ(Get("module/plugin/refcnt"), "0");
  EXPECT_EQ(Set("module/plugin/parameters/verbose", "0"), "");
  EXPECT_EQ(Get("module/plugin/parameters/verbose"), "N");
  EXPECT_EQ(Set("module/plugin/refcnt", "0"), "EACCES");
  const auto opened =
      modules_.OpenTogether({{.name = "plugin", .source = {.path = "plugin.so", .bytes = ""}}});
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(Get("module/plugin/refcnt"), "1");
  EXPECT_EQ(modules_.Unload("plugin").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(modules_.Close(opened->front().module).ok());
  EXPECT_TRUE(modules_.Unload("plugin").ok());
}

}  // namespace
}  // namespace mend
