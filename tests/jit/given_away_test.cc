// Functions that a patch adds to one unit, and whose address another unit takes: whoever keeps the
// address comes to text that is there, and to the newest version.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "jit/session.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

TEST(GivenAwayTest, AFunctionWhoseAddressAnotherUnitTakesStaysAndIsReplaced) {
  const std::vector<std::string> objects = {
      CompileUnit("t", "int (*get(void))(void) { return 0; }", {"get"}),
      CompileUnit("u", "int use(void) { return 0; }", {"use"})};
  for (const char* const taken :
       {"int (*get(void))(void) { return answer; }",
        "int (*table[1])(void) = {answer}; int (*get(void))(void) { return table[0]; }"}) {
    SCOPED_TRACE(taken);
    auto session = Host(objects);
    ASSERT_NE(session, nullptr);
    const auto load = [&](const std::string& answer, const std::string& get) {
      PatchUnit t = Unit("t", Compile("int answer(void); " + get), {Replaces("get")});
      if (get.find("table") != std::string::npos) t.new_data = {"table"};
      PatchUnit u = Unit(
          "u", Compile("int answer(void) { return " + answer + "; } int use(void) { return 3; }"),
          {Replaces("use")});
      u.new_functions = {"answer"};
      return session->Load(Module({t, u}));
    };
    const uint64_t before = session->Usage().module_bytes;
    auto called = load("0", "int (*get(void))(void) { answer(); return 0; }");
    ASSERT_TRUE(called.ok()) << called.status().ToString();
    called->reset();
    EXPECT_EQ(session->Usage().module_bytes, before) << "nobody has its address";
    auto first = load("1", taken);
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    Activate(*session, **first);
    int (*answer)() = Find<int (*())()>(*session, "get")();
    Deactivate(*session, **first);
    first->reset();
    ASSERT_GT(session->Usage().module_bytes, before);
    EXPECT_EQ(answer(), 1);
    auto second = load("2", taken);
    ASSERT_TRUE(second.ok()) << second.status().ToString();
    ASSERT_EQ((*second)->objects[0].functions.size(), 3u);
    Activate(*session, **second);
    EXPECT_EQ(answer(), 2);
    EXPECT_EQ(Find<int (*())()>(*session, "get")(), answer) << "its address is one";
    Deactivate(*session, **second);
    second->reset();
    EXPECT_EQ(answer(), 1);
  }
}

}  // namespace
}  // namespace mend::jit
