// The layout gate: records, enumerations and variables that an edit changes, and what is refused of
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
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
using ::testing::StartsWith;

TEST_F(CompareTest, RefusesAChangedLayoutAndShowsBoth) {
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

// As BIND's struct respctx: an object on the stack of one function, which passes its address to
// static helpers.
constexpr char kResponse[] =
    "#include <string.h>\n"
    "extern int read_answer(char *, int);\n"
    "struct response { int length; int tries; char text[32]; struct { int first; } range; };\n"
    "static __attribute__((noinline)) void begin(struct response *r) {\n"
    "  memset(r, 0, sizeof(*r));\n"
    "  r->tries = 3;\n"
    "}\n"
    "static __attribute__((noinline)) int finish(const struct response *r, int *tries) {\n"
    "  if (r == NULL) return 0;\n"
    "  *tries += r->tries;\n"
    "  return r->text[0] + r->length + r->range.first;\n"
    "}\n"
    "int respond(int x) {\n"
    "  struct response response;\n"
    "  struct response *r = &response;\n"
    "  begin(r);\n"
    "  r->length = read_answer(r->text, 32);\n"
    "  return finish(&response, &r->range.first) + x;\n"
    "}\n"
    "int other(int x) { return x + 1; }\n";

// The same in C++, with an inlined allocator and its caller.
constexpr char kParser[] =
    "extern int read_answer(char *, int);\n"
    "namespace {\n"
    "class Parser {\n"
    " public:\n"
    "  explicit Parser(int limit) : limit_(limit) {}\n"
    "  ~Parser() { read_answer(text_, limit_); }\n"
    "  __attribute__((noinline)) int Parse() { return read_answer(text_, limit_) + seen_++; }\n"
    "  int seen() const { return seen_; }\n"
    " private:\n"
    "  int limit_;\n"
    "  int seen_ = 0;\n"
    "  char text_[16];\n"
    "};\n"
    "int Run(Parser& parser) { return parser.Parse() + parser.seen(); }\n"
    "inline int Once(int x) { Parser parser(x); return Run(parser); }\n"
    "}\n"
    "int twice(int x) { return Once(x) + Once(x + 1); }\n";

TEST_F(CompareTest, ARecordThatIsOnlyInFramesOfChangedFunctionsIsFine) {
  MakeProgram({{"a.c", kResponse}, {"b.c", "int unrelated(int x) { return x; }\n"}});
  const std::vector<std::array<std::string, 2>> edits = {
      {"int length;", "int flags; int length;"},
      {"char text[32];", "char text[40];"},
      {"int length; int tries;", "int tries; int length;"},
      {"struct { int first; }", "struct { int last; int first; }"},
  };
  for (const auto& [from, to] : edits) {
    SCOPED_TRACE(to);
    const BuildReport report = Build({{"a.c", Replaced(kResponse, from, to)}});
    EXPECT_THAT(report.refusals, IsEmpty());
    ASSERT_EQ(report.frame_records.size(), 1u);
    EXPECT_THAT(report.frame_records[0].change, StartsWith("struct response: "));
    EXPECT_THAT(report.frame_records[0].functions, ElementsAre("respond"));
    EXPECT_THAT(Functions(report), Contains("respond changed"));
  }
  // What the author answers for is not looked at.
  BuildOptions options;
  options.allow_layout = {"response"};
  EXPECT_THAT(
      Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}}, options)
          .frame_records,
      IsEmpty());
}

TEST_F(CompareTest, AClassThatIsOnlyInFramesOfChangedFunctionsIsFine) {
  MakeProgram({{"a.cc", kParser}});
  const BuildReport report =
      Build({{"a.cc", Replaced(kParser, "int limit_;", "long flags_ = 0; int limit_;")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.frame_records.size(), 1u);
  EXPECT_THAT(report.frame_records[0].functions, Contains("_Z5twicei"));
}

TEST_F(CompareTest, MembersOfATemplateAreInitialisedByWhatHasNoTypeYet) {
  const std::string source =
      absl::StrCat(kParser,
                   "struct pair { int a, b; pair(int x, int y) : a(x), b(y) {} };\n"
                   "template <typename T> struct held { T t; explicit held(int x) : t(x, 1) {} };\n"
                   "int both(int x) { return held<pair>(x).t.b; }\n");
  MakeProgram({{"a.cc", source}});
  EXPECT_EQ(Build({{"a.cc", Replaced(source, "int limit_;", "long flags_ = 0; int limit_;")}})
                .frame_records.size(),
            1u);
}

TEST_F(CompareTest, FunctionsMayHaveRecordsOfOneName) {
  const std::string source =
      "int f(int v) { struct box { int a; }; struct box b = {v}; return b.a + 1; }\n"
      "double g(double v) { struct box { double a, b; }; struct box b = {v, v}; return b.a + b.b; "
      "}\n"
      "int h(int v) { { struct box { int a; }; struct box b = {v}; v += b.a; }\n"
      "  struct box { long a, b; }; struct box b = {v, v}; return (int)b.b + 1; }\n";
  for (const char* file : {"b.c", "b.cc"}) {
    SCOPED_TRACE(file);
    bases_.clear();
    MakeProgram({{file, source}});
    EXPECT_THAT(Build({{file, Replaced(source, "b.a + 1", "b.a + 2")}}).refusals, IsEmpty());
    const BuildReport changed = Build({{file, Replaced(source, "double a, b; }; ",
                                                       "double a; double c; double b; }; static "
                                                       "struct box *kept; kept = 0; ")}});
    EXPECT_THAT(OnlyRefusal(changed), HasSubstr("box: member 'c' was added"));
  }
}

TEST_F(CompareTest, ARecordInAHeaderIsFineIfNoOtherUnitCanPassItOn) {
  const std::string header =
      "struct walk { int depth; int limit; };\n"
      "static inline int deeper(struct walk *w) { return ++w->depth < w->limit; }\n";
  const std::string unit =
      "#include \"walk.h\"\n"
      "extern int visit(int);\n"
      "int descend$(int n) {\n"
      "  struct walk w = {visit(n), n};\n"
      "  int sum = 0;\n"
      "  while (deeper(&w)) sum += visit(w.depth);\n"
      "  return sum;\n"
      "}\n";
  const std::map<std::string, std::string> files = {
      {"walk.h", header},
      {"a.c", Replaced(unit, "$", "_a")},
      {"b.c", Replaced(unit, "$", "_b")},
      {"c.c", "#include \"walk.h\"\nint indifferent(int x) { return x; }\n"}};
  MakeProgram(files);
  const std::string edited = Replaced(header, "int depth;", "long sum; int depth;");
  const std::string use = "sum += visit(w.depth);";
  std::map<std::string, std::string> edit = {{"walk.h", edited}};
  for (const char* name : {"a.c", "b.c"}) {
    edit[name] = Replaced(files.at(name), use, "w.sum += visit(w.depth), sum = (int)w.sum;");
  }
  const BuildReport report = Build(edit);
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.frame_records.size(), 1u);
  EXPECT_THAT(report.frame_records[0].functions, ElementsAre("descend_a", "descend_b"));

  // A guest module may have the header, too, and call the program's function.
  edit["walk.h"] = Replaced(edited, "static inline",
                            "int exported(struct walk *w) { return "
                            "w->limit; }\nstatic inline");
  EXPECT_THAT(Build(edit).refusals,
              Contains(Field(&Refusal::detail,
                             HasSubstr("only in frames of changed functions: other units may call "
                                       "'exported' ("))));
}

struct EscapeCase {
  const char* what;
  const char* language;
  const char* code;    // in front of respond()
  const char* inside;  // in the place of its call of finish()
  const char* reason;
};

// Each way out of the frames, told by its reason.
constexpr EscapeCase kEscapes[] = {
    {"a global", "c", "struct response last;", "last = response;",
     "'last' is no automatic variable"},
    {"a static", "c", "", "static struct response kept; kept.tries++;", "'kept' is no automatic"},
    {"a thread-local", "c", "static _Thread_local struct response mine;", "mine.tries++;",
     "'mine' is no automatic variable"},
    {"an address in a global", "c", "struct response *last;", "last = r;",
     "'last' is no automatic"},
    {"an address in a void pointer", "c", "void *last;", "last = r;",
     "'struct response *' is converted to 'void *'"},
    {"an address as a number", "c", "unsigned long last;", "last = (unsigned long)r;",
     "converted to 'unsigned long'"},
    {"an address in an array", "c", "", "struct response *all[2] = {r}; begin(all[x & 1]);",
     "'all' is a 'struct response *[2]'"},
    {"an address of the address", "c", "static void find(struct response **out) { *out = 0; }",
     "find(&r);", "'out' is a 'struct response **'"},
    {"the heap", "c", "extern void *malloc(unsigned long);", "r = malloc(sizeof(struct response));",
     "is converted to 'struct response *'"},
    {"its bytes in the heap", "c", "extern char *heap;", "memcpy(heap, r, sizeof(*r));",
     "converted to 'const void *'"},
    {"its size", "c", "extern int save(unsigned long);", "save(sizeof(*r));", "its size is asked"},
    {"what memset returns", "c", "void *last;", "last = memset(r, 0, sizeof(*r));",
     "converted to 'void *'"},
    {"the value of a block", "c", "void *last;", "last = ({ memset(r, 0, sizeof(*r)); });",
     "converted to 'void *'"},
    {"qsort", "c",
     "extern void qsort(void *, unsigned long, unsigned long, int (*)(const void *, const void "
     "*));\n"
     "static int compare(const void *a, const void *b) { return a < b; }",
     "struct response all[4]; qsort(all, 4, 8, compare);", "converted to 'void *'"},
    {"a comparison by address", "c",
     "extern int sort(int (*)(const struct response *, const struct response *));\n"
     "static int compare(const struct response *a, const struct response *b) { return a->tries - "
     "b->tries; }",
     "sort(compare);", "passed to 'sort', which is not defined"},
    {"a function pointer", "c", "extern int (*hook)(struct response *);", "hook(r);",
     "'hook' is no automatic variable"},
    {"a member of another record", "c", "struct outer { struct response inner; };", "",
     "a member 'inner' of 'outer' contains it or leads to it"},
    {"a pointer in another record", "c", "struct outer { struct response *inner; };", "",
     "a member 'inner' of 'outer' contains it or leads to it"},
    {"another unit's function", "c", "extern void keep(struct response *);", "keep(r);",
     "passed to 'keep', which is not defined in this unit"},
    {"a function that others may call", "c", "void begin_too(struct response *r) { r->tries++; }",
     "begin_too(r);", "other units may call 'begin_too'"},
    {"another unit's result", "c", "extern struct response *get(void);", "begin(get());",
     "passed to 'get', which is not defined"},
    {"a parameter by value", "c", "static int by_value(struct response r) { return r.tries; }",
     "x += by_value(*r);", "'r' is passed by value"},
    {"a variable argument", "c", "static void log_it(int n, ...) { n++; }", "log_it(1, r);",
     "'log_it' takes it as a variable argument"},
    {"a thread's argument", "c",
     "extern int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);\n"
     "static void *run(void *p) { return p; }",
     "unsigned long id; pthread_create(&id, 0, run, r);", "converted to 'void *'"},
    {"a thread's function", "c",
     "static void *run(void *p) { struct response *r = p; begin(r); return p; }", "run(0);",
     "'void *' is converted to 'struct response *'"},
    {"a context's argument", "c",
     "#include <ucontext.h>\nstatic ucontext_t here;\n"
     "static void run(struct response *r) { r->tries++; }",
     "makecontext(&here, (void (*)(void))run, 1, r);",
     "passed to 'makecontext', which is not defined"},
    {"a suspended context", "c", "#include <ucontext.h>\nstatic ucontext_t here, there;",
     "swapcontext(&here, &there);", "'respond' calls swapcontext"},
    {"a jump into the frame", "c", "#include <setjmp.h>\nstatic jmp_buf back;",
     "if (setjmp(back)) return 1;", "'respond' calls _setjmp"},
    {"an assembler's operand", "c", "", "asm volatile(\"\" : : \"r\"(r));", "(GCCAsmStmt)"},
    {"offsetof", "c", "#include <stddef.h>\nextern int at;",
     "at = offsetof(struct response, text);", "the place of a member is asked for"},
    {"a clean-up elsewhere", "c", "extern void drop(struct response *);",
     "struct response own __attribute__((cleanup(drop))); own.tries = x;", "passed to 'drop'"},
    {"a lambda that escapes", "c++", "#include <functional>\nstd::function<int()> last;",
     "last = [&response] { return response.tries; };", "(LambdaExpr)"},
    {"a lambda that does not", "c++", "", "[](struct response &r) { r.tries++; }(response);",
     "a lambda has to do with it"},
    {"new", "c++", "", "r = new struct response();", "it is allocated"},
    {"a template's argument", "c++", "#include <vector>\nstatic std::vector<struct response> all;",
     "", "'all' is no automatic variable"},
    {"a local template's", "c++", "#include <vector>", "std::vector<struct response> all(2);",
     "'all' is a 'std::vector<struct response>'"},
    {"an exception", "c++", "", "if (x == 7) throw response;", "(CXXThrowExpr)"},
    {"a class derived from it", "c++", "struct derived : response { int more; };", "",
     "a base class has to do with it"},
    {"a reference that lives on", "c++", "const struct response &last = response_of(3);", "",
     "'last' is no automatic variable"},
    {"a lambda that copies the address", "c++", "", "auto f = [r] { return r->tries; }; x += f();",
     "(LambdaExpr)"},
    {"a coroutine", "c++",
     "#include <coroutine>\n"
     "struct task { struct promise_type {\n"
     "  task get_return_object() { return {}; }\n"
     "  std::suspend_never initial_suspend() { return {}; }\n"
     "  std::suspend_never final_suspend() noexcept { return {}; }\n"
     "  void return_void() {}\n  void unhandled_exception() {} }; };\n"
     "task later() { struct response r; r.tries = 1; co_await std::suspend_always(); "
     "r.tries++; }",
     "later();", "'later' is a coroutine"},
};

TEST_F(CompareTest, ARecordThatLeavesTheFramesIsRefusedAndSaysWhere) {
  for (const EscapeCase& escape : kEscapes) {
    SCOPED_TRACE(escape.what);
    std::string source = Replaced(kResponse, "  return finish(",
                                  absl::StrCat("  ", escape.inside, "\n  return finish("));
    const std::string file = std::string(escape.language) == "c" ? "a.c" : "a.cc";
    if (file == "a.cc") {
      source = Replaced(source, "int respond(",
                        "static struct response response_of(int n) { struct response r; "
                        "begin(&r); r.tries = n; return r; }\nint respond(");
    }
    source = Replaced(source, "int respond(", absl::StrCat(escape.code, "\nint respond("));
    TearDown();
    SetUp();
    bases_.clear();
    objects_.clear();
    MakeProgram({{file, source}});
    SourceEdits edits(bases_);
    Write("edited/" + file, Replaced(source, "int length;", "int flags; int length;"));
    ASSERT_TRUE(edits.AddFile(folder_ + "/edited/" + file).ok());
    BuildOptions options;
    options.name = "test";
    const BuildReport report = BuildWith(edits, options, Way::kUsual);
    EXPECT_TRUE(report.frame_records.empty());
    std::string reasons;
    for (const Refusal& refusal : report.refusals) {
      if (refusal.code == RefusalCode::kRecordLayout) reasons += refusal.detail;
    }
    EXPECT_THAT(reasons, AllOf(HasSubstr("not only in frames of changed functions: "),
                               HasSubstr(escape.reason)));
  }
}

TEST_F(CompareTest, ARecordThatTheEditLetsOutIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  std::string edit = Replaced(kResponse, "int length;", "int flags; int length;");
  edit = Replaced(edit, "int respond(", "static void *last;\nint respond(");
  edit = Replaced(edit, "  begin(r);", "  last = r; begin(r);");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})), HasSubstr("is converted to 'void *' (a.c:"));
}

// When the patch is taken off, a thread may switch in the middle of it.
TEST_F(CompareTest, ARecordInAFrameOfANewFunctionIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  const std::string edit =
      absl::StrCat(Replaced(kResponse, "int length;", "int flags; int length;"),
                   "int fresh(int x) { struct response r; begin(&r); return finish(&r, &x); }\n");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'fresh' is new, and has one in its frame"));
}

TEST_F(CompareTest, ARecordOfAUnitThatIsNotInThePatchIsRefused) {
  MakeProgram({{"a.c", kResponse},
               {"b.c",
                "struct response { int length; int tries; };\n"
                "int of_another(int x) { struct response r = {x, x}; return r.tries; }\n"}});
  EXPECT_THAT(
      OnlyRefusal(Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}})),
      HasSubstr("only in frames of changed functions: b.c has a record of that name"));
}

// respond() itself does not change when a member is put where there was room: it would call begin()
// and finish() of different versions.
TEST_F(CompareTest, ARecordInAFrameOfAFunctionThatDoesNotChangeIsRefused) {
  const std::string source = Replaced(Replaced(kResponse, "int length;", "int length; char kind;"),
                                      "r->range.first)", "x)");
  const std::string respond =
      "int respond(int x) {\n  struct response response;\n  begin(&response);\n"
      "  return finish(&response, &x);\n}\n";
  const size_t at = source.find("int respond(");
  const std::string program =
      source.substr(0, at) + respond + source.substr(source.find("int other("));
  MakeProgram({{"a.c", program}});
  std::string edit = Replaced(program, "char kind;", "char kind; char mode;");
  edit = Replaced(edit, "r->tries = 3;", "r->tries = 3; r->mode = 1;");
  edit = Replaced(edit, "*tries += r->tries;", "*tries += r->tries + r->mode;");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'respond' (a.c) has one in its frame, and is not replaced"));
  // Nor does what inlined it.
  const std::string inlined = Replaced(program, "int respond(", "static int respond(") +
                              "int calls(int x) { return respond(x) + 2; }\n";
  bases_.clear();
  objects_.clear();
  MakeProgram({{"a.c", inlined}});
  edit = Replaced(inlined, "char kind;", "char kind; char mode;");
  edit = Replaced(edit, "r->tries = 3;", "r->tries = 3; r->mode = 1;");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'calls' (a.c) has one in its frame, and is not replaced"));
}

TEST_F(CompareTest, APatchToBeStackedHasNoRecordsOfItsOwnLayout) {
  MakeProgram({{"a.c", kResponse}});
  BuildOptions stacked;
  stacked.replace = false;
  BuildOptions of_a_set;
  of_a_set.replace_set = "probes";
  for (const BuildOptions& options : {stacked, of_a_set}) {
    EXPECT_THAT(
        OnlyRefusal(Build({{"a.c", Replaced(kResponse, "int length;", "int flags; int length;")}},
                          options)),
        HasSubstr("only in frames of changed functions: the patch is not cumulative"));
  }
}

TEST_F(CompareTest, RefusesAChangedEnumeratorButNotANewOne) {
  MakeUsualProgram();
  EXPECT_THAT(OnlyRefusal(Build({{"shape.h", Replaced(kHeader, "RED,", "BLUE, RED,")}})),
              AllOf(HasSubstr("MEND-E0103"), HasSubstr("'RED' changed from 0 to 1")));
  EXPECT_TRUE(Build({{"shape.h", Replaced(kHeader, "GREEN }", "GREEN, BLUE }")}}).no_change);
}

TEST_F(CompareTest, EnumeratorsOfUnnamedEnumsAreRefusedWhereTheirOrderGivesTheirValues) {
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
TEST_F(CompareTest, MembersMayBeRenamedAndNotExchanged) {
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
TEST_F(CompareTest, AMemberOfAnotherMeaningIsRefusedWhereverItStands) {
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
    // The edited source need not use it.
    EXPECT_THAT(OnlyRefusal(Build({{"fetch.c", Replaced(kFetch, from, to)}})),
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

TEST_F(CompareTest, AVariableOfAnotherMeaningIsRefused) {
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

TEST_F(CompareTest, ATypeThatIsSpelledAsBeforeIsShownWithWhatItStandsFor) {
  const std::string source =
      "typedef struct file { int handle; } File;\nFile *out;\n"
      "int f(void) { return out->handle; }\n";
  MakeProgram({{"log.c", source}});
  EXPECT_THAT(OnlyRefusal(Build({{"log.c", Replaced(source, "struct file", "struct")}})),
              AllOf(HasSubstr("from 'File *' (pointer to record file)"),
                    HasSubstr("to 'File *' (pointer to record File)")));
}

TEST_F(CompareTest, VariablesOfTemplatesAndOverloadsAreToldApart) {
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

TEST_F(CompareTest, RefusesChangedVirtualFunctions) {
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

TEST_F(CompareTest, ALambdaThatLivesOnKeepsWhatItCaptures) {
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

TEST_F(CompareTest, ALambdaThatIsOnlyCalledDirectlyMayCaptureAnything) {
  MakeProgram({{"h.cc", kHandlers}});
  const BuildReport report = Build({{"h.cc", Replaced(kHandlers, "[n](int x) { return x > n; }",
                                                      "[n, m](int x) { return x > n + m; }")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  EXPECT_THAT(Functions(report), Contains("_Z5abovePKiii changed"));
}

}  // namespace
}  // namespace mend::patchc
