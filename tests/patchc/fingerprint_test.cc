#include "patchc/object/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/patchc/compile_snippet.h"

namespace mend::patchc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

ObjectSummary Summarize(std::string_view source, const char* extension = ".c",
                        const char* flags = "-O2") {
  absl::StatusOr<ObjectSummary> summary = SummarizeObject(CompileSnippet(source, extension, flags));
  EXPECT_TRUE(summary.ok()) << summary.status();
  return summary.ok() ? *std::move(summary) : ObjectSummary();
}

// The names of functions and data whose fingerprints differ, or that only one side has.
std::set<std::string> Differences(const ObjectSummary& a, const ObjectSummary& b) {
  std::map<std::string, std::string> first;
  std::map<std::string, std::string> second;
  for (const auto& f : a.functions) first[f.name] = f.fingerprint;
  for (const auto& d : a.data) first[d.name] = d.fingerprint;
  for (const auto& f : b.functions) second[f.name] = f.fingerprint;
  for (const auto& d : b.data) second[d.name] = d.fingerprint;
  std::set<std::string> names;
  for (const auto& [name, hash] : first) {
    if (!second.contains(name) || second[name] != hash) names.insert(name);
  }
  for (const auto& [name, hash] : second) {
    if (!first.contains(name)) names.insert(name);
  }
  return names;
}

constexpr char kUnit[] = R"(
extern int ext(int);
extern int puts(const char *);
static int counter;
static const int table[] = {3, 1, 4, 1, 5, 9, 2, 6};
static __attribute__((noinline)) int local(int x) { counter += x; return table[x & 7] + ext(x); }
int user(int x) { return local(x) * 7; }
int says(void) { return puts("hello"); }
int also_says(void) { return puts("bye"); }
double scale(double d) { return d * 3.25 + 1.5; }
double shift(double d) { return d - 9.75; }
int jumps(int i) {
  switch (i) {
    case 0: return ext(1) + 1;
    case 1: return ext(2) * 2;
    case 2: return ext(3) / 3;
    case 3: return ext(4) - 4;
    case 4: return puts("four");
  }
  return 0;
}
)";

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(FingerprintTest, SameSourceHasSameFingerprints) {
  EXPECT_THAT(Differences(Summarize(kUnit), Summarize(kUnit)), IsEmpty());
}

TEST(FingerprintTest, CommentsAndDebugInformationDoNotCount) {
  const std::string commented = "/* one\n two\n three */" + std::string(kUnit);
  EXPECT_THAT(Differences(Summarize(kUnit), Summarize(commented)), IsEmpty());
  EXPECT_THAT(Differences(Summarize(kUnit), Summarize(kUnit, ".c", "-O2 -g")), IsEmpty());
}

TEST(FingerprintTest, FindsTheFunctionWhoseBodyChanged) {
  const auto edited = Summarize(Replaced(kUnit, "local(x) * 7", "local(x) * 11"));
  EXPECT_THAT(Differences(Summarize(kUnit), edited), ElementsAre("user"));
}

TEST(FingerprintTest, StringLiteralCountsForItsReaderOnly) {
  const auto edited = Summarize(Replaced(kUnit, "hello", "hello, world"));
  EXPECT_THAT(Differences(Summarize(kUnit), edited), ElementsAre("says"));
}

TEST(FingerprintTest, FloatingPointConstantCountsForItsReaderOnly) {
  const auto edited = Summarize(Replaced(kUnit, "3.25", "3.5"));
  EXPECT_THAT(Differences(Summarize(kUnit), edited), ElementsAre("scale"));
}

TEST(FingerprintTest, StringBehindAJumpTableCounts) {
  const auto edited = Summarize(Replaced(kUnit, "\"four\"", "\"vier\""));
  EXPECT_THAT(Differences(Summarize(kUnit), edited), ElementsAre("jumps"));
}

TEST(FingerprintTest, ChangedConstantReachesItsReaders) {
  const auto base = Summarize(kUnit);
  const auto edited = Summarize(Replaced(kUnit, "9, 2, 6", "9, 2, 7"));
  EXPECT_THAT(Differences(base, edited), ElementsAre("local", "table"));
  EXPECT_EQ(base.details.at("local").own_fingerprint, edited.details.at("local").own_fingerprint);
}

TEST(FingerprintTest, NewStaticVariableInTheMiddleMovesNothing) {
  const auto edited =
      Summarize(Replaced(kUnit, "static int counter;", "static int counter; int more = 5;"));
  EXPECT_THAT(Differences(Summarize(kUnit), edited), ElementsAre("more"));
}

TEST(FingerprintTest, ReferencesNameTheirTargets) {
  const auto summary = Summarize(kUnit);
  EXPECT_THAT(summary.details.at("local").references, ElementsAre("counter", "ext", "table"));
  EXPECT_THAT(summary.details.at("user").references, ElementsAre("local"));
  EXPECT_THAT(summary.undefined, ElementsAre("ext", "puts"));
}

TEST(FingerprintTest, DescribesBindingSizeAndKind) {
  const auto summary = Summarize(
      "static int a[4]; const int b = 3; int c = 2;"
      "int *f(void) { a[1]++; return a; }");
  std::map<std::string, DataDescription> data;
  for (const auto& datum : summary.data) data[datum.name] = datum;
  EXPECT_EQ(data["a"].binding, Binding::kLocal);
  EXPECT_EQ(data["a"].size, 16u);
  EXPECT_FALSE(data["a"].is_constant);
  EXPECT_TRUE(data["b"].is_constant);
  EXPECT_FALSE(data["c"].is_constant);
  ASSERT_EQ(summary.functions.size(), 1u);
  EXPECT_TRUE(summary.functions[0].patchable);
}

TEST(FingerprintTest, TableOfLabelsNamesItsFunction) {
  const auto summary = Summarize(R"(
extern int ext(int);
int run(const unsigned char *code) {
  static const void *const labels[] = {&&one, &&two, &&end};
  int sum = 0;
  goto *labels[*code];
one: sum += ext(1); goto *labels[*++code];
two: sum -= ext(2); goto *labels[*++code];
end: return sum;
})");
  EXPECT_THAT(summary.details.at("run.labels").label_owners, ElementsAre("run"));
}

constexpr char kCxxUnit[] = R"(
#include <stdexcept>
int ext(int);
struct Shape { virtual ~Shape(); virtual int area() const; virtual int sides() const; int n; };
Shape::~Shape() {}
int Shape::area() const { static int calls; return ++calls * n; }
int Shape::sides() const { return 4; }
int guarded(int i) {
  try { return ext(i); } catch (const std::runtime_error&) { return 1; }
}
int other(int i) {
  try { return ext(i + 1); } catch (const std::logic_error&) { return 2; }
}
)";

TEST(FingerprintTest, CatchClauseCountsThroughTheExceptionTable) {
  const auto base = Summarize(kCxxUnit, ".cc");
  EXPECT_THAT(Differences(base, Summarize(kCxxUnit, ".cc")), IsEmpty());
  const auto edited =
      Summarize(Replaced(kCxxUnit, "std::runtime_error&", "std::range_error&"), ".cc");
  EXPECT_THAT(Differences(base, edited), ElementsAre("_Z7guardedi"));
}

TEST(FingerprintTest, NewVirtualFunctionChangesTheVtable) {
  const auto edited = Summarize(Replaced(kCxxUnit, "virtual int sides() const;",
                                         "virtual int more() const { return 1; } "
                                         "virtual int sides() const;"),
                                ".cc");
  EXPECT_THAT(Differences(Summarize(kCxxUnit, ".cc"), edited), Contains("_ZTV5Shape"));
}

TEST(FingerprintTest, ConstructorsOfGlobalsAreInitializers) {
  const auto summary = Summarize("int ext(int); int g = ext(3);", ".cc");
  EXPECT_THAT(summary.initializers, ElementsAre("_GLOBAL__sub_I_snippet.cc"));
}

TEST(FingerprintTest, DamagedObjectsAreReported) {
  const std::string object = CompileSnippet(kUnit);
  EXPECT_FALSE(SummarizeObject("").ok());
  EXPECT_FALSE(SummarizeObject("not an object").ok());
  EXPECT_FALSE(SummarizeObject(object.substr(0, object.size() / 2)).ok());
  // Whatever a damaged byte leads to, it may not crash.
  for (size_t at = 0; at < object.size(); at += 7) {
    std::string damaged = object;
    damaged[at] = static_cast<char>(~damaged[at]);
    (void)SummarizeObject(damaged).ok();
  }
}

}  // namespace
}  // namespace mend::patchc
