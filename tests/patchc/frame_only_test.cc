// Records of another layout that lie in frames of replaced functions alone are fine; those that get
// out of them are refused, with the place where they do.
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

using FrameOnlyTest = CompareTest;

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

TEST_F(FrameOnlyTest, ARecordThatIsOnlyInFramesOfChangedFunctionsIsFine) {
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

TEST_F(FrameOnlyTest, AClassThatIsOnlyInFramesOfChangedFunctionsIsFine) {
  MakeProgram({{"a.cc", kParser}});
  const BuildReport report =
      Build({{"a.cc", Replaced(kParser, "int limit_;", "long flags_ = 0; int limit_;")}});
  EXPECT_THAT(report.refusals, IsEmpty());
  ASSERT_EQ(report.frame_records.size(), 1u);
  EXPECT_THAT(report.frame_records[0].functions, Contains("_Z5twicei"));
}

TEST_F(FrameOnlyTest, MembersOfATemplateAreInitialisedByWhatHasNoTypeYet) {
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

TEST_F(FrameOnlyTest, FunctionsMayHaveRecordsOfOneName) {
  const std::string source =
      "int f(int v) { struct box { int a; }; struct box b = {v}; return b.a + 1; }\n"
      "double g(double v) { struct box { double a, b; }; struct box b = {v, v}; return b.a + b.b; "
      "}\n"
      "int h(int v) { { struct box { int a; }; struct box b = {v}; v += b.a; }\n"
      "  struct box { long a, b; }; struct box b = {v, v}; return (int)b.b + 1; }\n";
  for (const char* file : {"b.c", "b.cc"}) {
    SCOPED_TRACE(file);
    StartOver();
    MakeProgram({{file, source}});
    EXPECT_THAT(Build({{file, Replaced(source, "b.a + 1", "b.a + 2")}}).refusals, IsEmpty());
    const BuildReport changed = Build({{file, Replaced(source, "double a, b; }; ",
                                                       "double a; double c; double b; }; static "
                                                       "struct box *kept; kept = 0; ")}});
    EXPECT_THAT(OnlyRefusal(changed), HasSubstr("box: member 'c' was added"));
  }
}

TEST_F(FrameOnlyTest, ARecordInAHeaderIsFineIfNoOtherUnitCanPassItOn) {
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

TEST_F(FrameOnlyTest, ARecordThatLeavesTheFramesIsRefusedAndSaysWhere) {
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
    StartOver();
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

TEST_F(FrameOnlyTest, ARecordThatTheEditLetsOutIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  std::string edit = Replaced(kResponse, "int length;", "int flags; int length;");
  edit = Replaced(edit, "int respond(", "static void *last;\nint respond(");
  edit = Replaced(edit, "  begin(r);", "  last = r; begin(r);");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})), HasSubstr("is converted to 'void *' (a.c:"));
}

// When the patch is taken off, a thread may switch in the middle of it.
TEST_F(FrameOnlyTest, ARecordInAFrameOfANewFunctionIsRefused) {
  MakeProgram({{"a.c", kResponse}});
  const std::string edit =
      absl::StrCat(Replaced(kResponse, "int length;", "int flags; int length;"),
                   "int fresh(int x) { struct response r; begin(&r); return finish(&r, &x); }\n");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'fresh' is new, and has one in its frame"));
}

TEST_F(FrameOnlyTest, ARecordOfAUnitThatIsNotInThePatchIsRefused) {
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
TEST_F(FrameOnlyTest, ARecordInAFrameOfAFunctionThatDoesNotChangeIsRefused) {
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
  StartOver();
  MakeProgram({{"a.c", inlined}});
  edit = Replaced(inlined, "char kind;", "char kind; char mode;");
  edit = Replaced(edit, "r->tries = 3;", "r->tries = 3; r->mode = 1;");
  EXPECT_THAT(OnlyRefusal(Build({{"a.c", edit}})),
              HasSubstr("'calls' (a.c) has one in its frame, and is not replaced"));
}

TEST_F(FrameOnlyTest, APatchToBeStackedHasNoRecordsOfItsOwnLayout) {
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

}  // namespace
}  // namespace mend::patchc
