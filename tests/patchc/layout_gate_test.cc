// The layout gate: records, enumerations and variables that an edit changes, and what is refused of
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/patchc/compare_fixture.h"

namespace mend::patchc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using LayoutGateTest = CompareTest;

TEST_F(LayoutGateTest, RefusesAChangedLayoutAndShowsBoth) {
  MakeUsualProgram();
  const std::map<std::string, std::string> edit = {
      {"shape.h", Replaced(kHeader, "int x; int y;", "int w; int x; int y;")}};
  EXPECT_THAT(OnlyRefusal(Build(edit)),
              AllOf(HasSubstr("MEND-E0101"), HasSubstr("running program: 8 bytes"),
                    HasSubstr("edited source: 12 bytes"), HasSubstr("member 'w' was added"),
                    HasSubstr("     0  int x            |      4  int x")));
  BuildOptions options;
  options.allow_layout = {"point"};
  EXPECT_THAT(Functions(Build(edit, options)), ElementsAre("norm changed"));
}

TEST_F(LayoutGateTest, RefusesAChangedEnumeratorButNotANewOne) {
  MakeProgram(
      {{"shape.h", kHeader},
       {"shape.c", kShape},
       {"color.c", "#include \"shape.h\"\nint is_red(enum color c) { return c == RED; }\n"}});
  EXPECT_THAT(OnlyRefusal(Build({{"shape.h", Replaced(kHeader, "RED,", "BLUE, RED,")}})),
              AllOf(HasSubstr("MEND-E0103"), HasSubstr("'RED' changed from 0 to 1")));
  EXPECT_TRUE(Build({{"shape.h", Replaced(kHeader, "GREEN }", "GREEN, BLUE }")}}).no_change);
}

TEST_F(LayoutGateTest, EnumeratorsOfUnnamedEnumsAreRefusedWhereTheirOrderGivesTheirValues) {
  const std::string text =
      "enum { START, STOP };\n"
      "enum { LIMIT = 10 };\n"
      "int compute(int x) { return x == STOP ? LIMIT : START; }\n"
      "int main(void) { return compute(1); }\n";
  MakeProgram({{"main.c", text}});
  EXPECT_THAT(OnlyRefusal(Build({{"main.c", Replaced(text, "STOP };", "PAUSE, STOP };")}})),
              AllOf(HasSubstr("MEND-E0103"), HasSubstr("'STOP' changed from 1 to 2")));
  EXPECT_THAT(Build({{"main.c", Replaced(text, "STOP };", "STOP, PAUSE };")}}).refusals, IsEmpty());
  const BuildReport constant = Build({{"main.c", Replaced(text, "= 10", "= 12")}});
  EXPECT_THAT(Functions(constant), Contains("compute changed"));
  EXPECT_THAT(constant.warnings, Contains(HasSubstr("'LIMIT' is 12 in the patch, and 10")));
}

// Two members that change places leave the record's places as they were, and each other's values in
// live objects.
TEST_F(LayoutGateTest, MembersMayBeRenamedAndNotExchanged) {
  MakeUsualProgram();
  EXPECT_THAT(
      OnlyRefusal(Build({{"shape.h", Replaced(kHeader, "int x; int y;", "int y; int x;")}})),
      AllOf(HasSubstr("MEND-E0101"), HasSubstr("'y' moved from offset 4 to 0")));
  std::string renamed = Replaced(kHeader, "int y;", "int z;");
  const BuildReport report =
      Build({{"shape.h", renamed}, {"shape.c", Replaced(kShape, "square(p->y)", "square(p->z)")}});
  EXPECT_THAT(report.refusals, IsEmpty());
}

constexpr char kFetch[] =
    "struct find { long id; };\n"
    "struct address { long id; };\n"
    "enum stage { IDLE, BUSY };\n"
    "struct fetch {\n"
    "  struct find *find;\n"
    "  int tries;\n"
    "  const char *name;\n"
    "  void *context;\n"
    "  int (*done)(int);\n"
    "  struct { int low; int high; } slots[2], *more;\n"
    "  unsigned is_open : 1;\n"
    "};\n"
    "struct fetch *current;\n"
    "static int limit;\n"
    "static struct { int first; int last; } range;\n"
    "static struct { int key; int value; } *table;\n"
    "long fetch_id(void) {\n"
    "  static long asked;\n"
    "  asked += current->tries + limit + range.first * 2 + range.last + table->key * 3;\n"
    "  return asked + current->slots[1].low + current->more->low;\n"
    "}\n";

// A BIND fix put a pointer to an address where one to a list of them had been: its new code would
// have followed what live objects had there.
TEST_F(LayoutGateTest, AMemberOfAnotherMeaningIsRefusedWhereverItStands) {
  MakeProgram({{"fetch.c", kFetch}});
  const std::vector<std::array<std::string, 3>> edits = {
      {"struct find *find;", "struct address *found;",
       "member 'found' (struct address *) stands in the place of 'find' (struct find *)"},
      {"struct find *find;", "struct address *find;",
       "the type of member 'find' changed from 'struct find *' to 'struct address *'"},
      {"int tries;", "float tries;", "the type of member 'tries' changed from 'int' to 'float'"},
      {"const char *name;", "long name;", "the type of member 'name' changed"},
      {"void *context;", "int (*context)(void);", "the type of member 'context' changed"},
      {"int low; int high;", "int high; int low;",
       "member 'slots[].high' moved from offset 44 to 40"},
  };
  for (const auto& [from, to, reason] : edits) {
    SCOPED_TRACE(to);
    // The edited code need not use it.
    const std::string more = "int more(int x) { return x; }\n";
    EXPECT_THAT(OnlyRefusal(Build({{"fetch.c", Replaced(kFetch, from, to) + more}})),
                AllOf(HasSubstr("MEND-E0101"), HasSubstr("struct fetch: "), HasSubstr(reason)));
  }
  BuildEach("fetch.c", kFetch,
            {{"int tries;", "unsigned tries;"},
             {"int tries;", "enum stage tries;"},
             {"const char *name;", "unsigned char *name;"},
             {"void *context;", "struct address *context;"},
             {"int (*done)(int);", "int (*done)(int, long);"},
             {"struct find *find;", "struct find *found;"},
             {"unsigned is_open : 1;", "_Bool is_open : 1;"}},
            [](const BuildReport& report) { EXPECT_THAT(report.refusals, IsEmpty()); });
}

TEST_F(LayoutGateTest, AVariableOfAnotherMeaningIsRefused) {
  MakeProgram({{"fetch.c", kFetch}});
  const std::vector<std::array<std::string, 3>> edits = {
      {"static int limit;", "static float limit;",
       "variable 'limit': its type changed from 'int' to 'float'"},
      {"int first; int last;", "int last; int first;",
       "variable 'range': member 'last' moved from offset 4 to 0"},
      {"int key; int value;", "int value; int key;",
       "variable 'table': member 'value' moved from offset 4 to 0"},
      {"static struct { int key; int value; } *table;",
       "static struct item { int key; int value; } *table;",
       "variable 'table': its type changed from"},
      {"static long asked;", "static double asked;",
       "variable 'fetch_id.asked': its type changed from 'long' to 'double'"},
  };
  for (const auto& [from, to, reason] : edits) {
    SCOPED_TRACE(to);
    EXPECT_THAT(OnlyRefusal(Build({{"fetch.c", Replaced(kFetch, from, to)}})),
                AllOf(HasSubstr("MEND-E0118"), HasSubstr(reason)));
  }
  BuildEach("fetch.c", kFetch,
            {{"static int limit;", "static unsigned limit;"},
             {"int first; int last;", "int begin; int last;\n#define first begin\n"},
             {"static long asked;", "static long asked, answered; answered = asked;"}},
            [](const BuildReport& report) { EXPECT_THAT(report.refusals, IsEmpty()); });
}

TEST_F(LayoutGateTest, ATypeThatIsSpelledAsBeforeIsShownWithWhatItStandsFor) {
  const std::string source =
      "typedef struct file { int handle; } File;\nFile *out;\n"
      "int f(void) { return out->handle; }\n";
  MakeProgram({{"log.c", source}});
  EXPECT_THAT(OnlyRefusal(Build({{"log.c", Replaced(source, "struct file", "struct")}})),
              AllOf(HasSubstr("from 'File *' (pointer to record file)"),
                    HasSubstr("to 'File *' (pointer to record File)")));
}

TEST_F(LayoutGateTest, VariablesOfTemplatesAndOverloadsAreToldApart) {
  const std::string source =
      "template <typename T> T& last(T value) { static T kept; kept += value; return kept; }\n"
      "int count(int a) { static int n; return n += a; }\n"
      "double count(double a) { static double n; return n += a; }\n"
      "double use() { return last(1) + last(2.5) + count(1) + count(2.0); }\n";
  MakeProgram({{"v.cc", source}});
  EXPECT_TRUE(Build({{"v.cc", absl::StrCat("//\n", source)}}).no_change);
  EXPECT_THAT(OnlyRefusal(Build({{"v.cc", Replaced(source, "static double n", "static long n")}})),
              AllOf(HasSubstr("MEND-E0118"), HasSubstr("count(double)::n"),
                    HasSubstr("from 'double' to 'long'")));
  // One more in front has a variable of the same name, too.
  const std::string one_more = "float count(float a) { static float n; return n += a; }\n";
  EXPECT_THAT(Build({{"v.cc", absl::StrCat(one_more, source)}}).refusals, IsEmpty());
}

TEST_F(LayoutGateTest, RefusesChangedVirtualFunctions) {
  const std::string source =
      "struct S { virtual ~S(); virtual int f(); int n; };\nS::~S() {}\nint S::f() { return n; }\n"
      "S* make() { return new S; }\n";
  MakeProgram({{"s.cc", source}});
  const BuildReport report =
      Build({{"s.cc", Replaced(source, "virtual int f();",
                               "virtual int e() { return 1; } virtual int f();")}});
  ASSERT_FALSE(report.refusals.empty());
  EXPECT_THAT(report.refusals, Contains(Field(&Refusal::code, RefusalCode::kVtable)));
}

// What std::function does, in short: a lambda's bytes, and what calls it.
constexpr char kHandlers[] =
    "struct handler { int (*call)(const void *, int); alignas(8) char data[16]; } handlers[8];\n"
    "template <typename F> int call(const void *f, int x) {\n"
    "  return (*static_cast<const F *>(f))(x);\n"
    "}\n"
    "template <typename F> void keep(int i, F f) {\n"
    "  handlers[i].call = call<F>;\n"
    "  __builtin_memcpy(handlers[i].data, &f, sizeof f);\n"
    "}\n"
    "template <typename F> __attribute__((noinline)) int any(const int *v, F f) {\n"
    "  while (*v != 0 && !f(*v)) ++v;\n"
    "  return *v;\n"
    "}\n"
    "void add(int n, int m) {\n"
    "  keep(n, [m](int x) { return x * m; });\n"
    "  keep(m, [n, m](int x) { return x - n + 3 * m; });\n"
    "}\n"
    "int above(const int *v, int n, int m) { return any(v, [n](int x) { return x > n; }) + m; }\n";

TEST_F(LayoutGateTest, ALambdaThatLivesOnKeepsWhatItCaptures) {
  MakeProgram({{"h.cc", kHandlers}});
  const auto edit = [](std::string_view from, std::string_view to) {
    return std::map<std::string, std::string>{{"h.cc", Replaced(kHandlers, from, to)}};
  };
  EXPECT_THAT(Build(edit("x * m", "x * m + 1")).refusals, IsEmpty());
  const auto one_more = edit("[m](int x) { return x * m", "[m, n](int x) { return x * m + n");
  EXPECT_THAT(OnlyRefusal(Build(one_more)),
              AllOf(HasSubstr("MEND-E0101: a lambda of 'add(int, int)': member 'n' was added"),
                    HasSubstr("'int call<add(int, int)::$_0>(void const*, int)' is called by its "
                              "address")));
  BuildOptions options;
  options.allow_layout = {"add(int, int)::(lambda)"};
  EXPECT_THAT(Build(one_more, options).refusals, IsEmpty());
  // The first one takes the second one's place.
  EXPECT_THAT(OnlyRefusal(Build(edit("  keep(n, [m](int x) { return x * m; });\n", ""))),
              HasSubstr("MEND-E0123"));
}

TEST_F(LayoutGateTest, ALambdaThatIsOnlyCalledDirectlyMayCaptureAnything) {
  MakeProgram({{"h.cc", kHandlers}});
  const BuildReport report = Build({{"h.cc", Replaced(kHandlers, "[n](int x) { return x > n; }",
                                                      "[n, m](int x) { return x > n + m; }")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), Contains("_Z5abovePKiii changed"));
}

// Its objects are known by addresses that have no type.
TEST_F(LayoutGateTest, ARecordThatGetsAnotherNameAndLayoutIsRefused) {
  const std::string source =
      "struct request { struct request *next; int id, state; };\n"
      "enum phase { IDLE, BUSY };\n"
      "struct token { int left, right; };\n"
      "int advance(void *data) {\n"
      "  struct request *r = data;\n"
      "  return r->state == BUSY ? r->id : 0;\n"
      "}\n"
      "int width(struct token *t) { return t->right - t->left; }\n";
  MakeProgram({{"a.c", source}});
  const auto renamed = [](std::string text, const std::string& from, const std::string& to) {
    for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
    return text;
  };
  const std::string job = renamed(source, "struct request", "struct job");
  EXPECT_TRUE(Build({{"a.c", job}}).no_change);
  const std::string larger = Replaced(job, "int id,", "int count, id,");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", larger}})),
              AllOf(HasSubstr("MEND-E0101: struct job: member 'count' was added"),
                    HasSubstr("it seems to be 'request', which is gone")));
  BuildOptions options;
  options.allow_layout = {"job"};
  EXPECT_THAT(Build({{"a.c", larger}}, options).refusals, IsEmpty());
  const std::string step = renamed(source, "enum phase", "enum step");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", Replaced(step, "IDLE, BUSY", "IDLE, READY, BUSY")}})),
              HasSubstr("MEND-E0103: enum step: the value of 'BUSY' changed"));
  // Another record, with a member that is called alike.
  EXPECT_THAT(Build({{"a.c", Replaced(renamed(renamed(source, "struct token", "struct span"),
                                              "right - t->left", "right - t->begin"),
                                      "int left, right;", "long begin; int right;")}})
                  .refusals,
              IsEmpty());
}

TEST_F(LayoutGateTest, ALayoutThatNoCodeDependsOnIsNoReasonToRefuse) {
  const std::string header = "struct entry { int id; int value; };\n";
  const std::string reads = "#include \"entry.h\"\nint reads(struct entry *e) { return e->id; }\n";
  const std::string edited =
      "#include \"entry.h\"\nint edited(struct entry *e) { return e->value; }\n";
  MakeProgram({{"entry.h", header}, {"a.c", reads}, {"b.c", edited}});
  const std::string larger = Replaced(header, "int value;", "int value; int added;");
  EXPECT_TRUE(Build({{"entry.h", larger}}).no_change);
  const BuildReport report =
      Build({{"entry.h", larger}, {"b.c", Replaced(edited, "->value", "->added")}});
  EXPECT_THAT(OnlyRefusal(report), AllOf(HasSubstr("MEND-E0101"), HasSubstr("'added'")));
}

TEST_F(LayoutGateTest, AllowingALayoutThatThereIsNotIsToldOf) {
  const std::string source =
      "struct entry { int id; };\nint id(struct entry *e) { return e->id; }\n";
  MakeProgram({{"a.c", source}});
  BuildOptions options;
  options.allow_layout = {"entry"};
  const std::string edited = Replaced(source, "->id", "->id + 1");
  EXPECT_THAT(Build({{"a.c", edited}}, options).warnings, IsEmpty());
  options.allow_layout = {"entries"};
  EXPECT_THAT(Build({{"a.c", edited}}, options).warnings,
              ElementsAre(HasSubstr("--allow-layout entries: no unit")));
}

}  // namespace
}  // namespace mend::patchc
