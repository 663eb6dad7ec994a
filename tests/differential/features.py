"""What programs are made of. A feature is text for a header and for units; @ stands for its number, so that its
names are its own. `<<1:OLD||NEW>>` is a place that the edit 1 of the feature changes (an edit may have several),
`{%A|B%}` one where the generator takes one of several. In the header of a C++ feature stands also what its units
need, in `show` what the program prints of it: the arguments of printf, with r for the round.

No edit changes how a feature's state develops, so that the edited program, run natively from the beginning, prints
in every round what the patched one has to print.
"""

INLINE = "{%static inline|static|static __attribute__((noinline))%}"
ANY = "{%|__attribute__((noinline)) |__attribute__((weak)) %}"

# Language, header, units (at least one; the generator puts each into some unit of the program), show.
FEATURES = [
    # An inline function from a header, in chains, in two units.
    ("c", f"{INLINE} int in@(int x) {{ return x * <<1:3||4>> + 1; }}\n{INLINE} int mid@(int x) {{ return in@(x) ^ <<2:5||9>>; }}\n"
     "int one@(int); int two@(int);\n",
     [ANY + "int one@(int x) { return mid@(x) + 1; }\n", ANY + "int two@(int x) { return mid@(x + 1) - in@(x); }\n"],
     "one@(r), two@(r)"),
    # A static with state, and a helper beside it.
    ("c", "int next@(int);\n",
     ["static int n@ = {%0|7%};\n{%static |__attribute__((noinline)) static %}int help@(int x) { return x <<1:+||->> 3; }\n"
      + ANY + "int next@(int x) { static int calls; calls++; n@ += x; return help@(n@) * <<2:1||10>> + calls; }\n"],
     "next@(r)"),
    # A static that the edit adds hides another unit's function; or the edit removes it.
    ("c", "int own@(int); int user@(int);\n",
     ["__attribute__((noinline)) int f@(int x) { return x + 10; }\nint own@(int x) { return f@(x); }\n",
      "<<1:int f@(int);||__attribute__((noinline)) static int f@(int x) { return x + 100; }>>\n"
      + ANY + "int user@(int x) { return f@(x) * 2; }\n"],
     "own@(r), user@(r)"),
    ("c", "int own@(int); int user@(int);\n",
     ["__attribute__((noinline)) int f@(int x) { return x + 10; }\nint own@(int x) { return f@(x); }\n",
      "<<1:__attribute__((noinline)) static int f@(int x) { return x + 100; }||int f@(int);>>\n"
      "static int (*const table@[])(int) = {f@, 0};\n"
      + ANY + "int user@(int x) { return table@[x & 0](x) * 2 + f@(x); }\n"],
     "own@(r), user@(r)"),
    # A function that moves beside another helper of the same name.
    ("c", "int moved@(int); int left@(int); int right@(int);\n",
     ["__attribute__((noinline)) static int help@(int x) { return x + 1; }\nint left@(int x) { return help@(x); }\n"
      "<<1:__attribute__((noinline)) int moved@(int x) { return help@(x) * 3; }||>>\n",
      "__attribute__((noinline)) static int help@(int x) { return x + 1000; }\nint right@(int x) { return help@(x); }\n"
      "<<1:||__attribute__((noinline)) int moved@(int x) { return help@(x) * 3; }>>\n"],
     "moved@(r), left@(r), right@(r)"),
    # Constant tables, their pointers, and a switch.
    ("c", "int pick@(int); const char *name@(int);\n",
     ["static const int table@[4] = {1, 2, <<1:3||33>>, 4};\n"
      "static const char *const names@[] = {\"zero\", \"<<2:one||eins>>\", \"two\"};\n"
      "static const int *const rows@[2] = {table@, table@ + 2};\n"
      + ANY + "int pick@(int x) { return rows@[x & 1][x & 1] + table@[x & 3]; }\n"
      + ANY + "const char *name@(int x) { return names@[x % 3]; }\n"],
     "pick@(r), name@(r), pick@(2)"),
    ("c", "int sw@(int);\n",
     [ANY + "int sw@(int x) { switch (x & 7) { case 0: return 5; case 1: return <<1:70||71>>; case 2: return x * 3; "
      "case 3: return 11; case 4: return x ^ 9; case 5: return 2; default: return <<2:1||x>>; } }\n"],
     "sw@(r), sw@(1), sw@(r + 7)"),
    ("c", "int go@(int);\n",
     ["int go@(int x) { static void *const to[] = {&&a, &&b, &&c}; int s = 0; goto *to[x % 3];\n"
      "a: s += 5; return s; b: s += <<1:7||8>>; c: return s + <<2:1||x>>; }\n"],
     "go@(r), go@(r + 1), go@(r + 2)"),
    # Function pointers in data.
    ("c", "int call@(int);\n",
     ["{%static %}int low@(int x) { return x + <<1:1||2>>; }\n{%static %}int high@(int x) { return x * <<2:5||6>>; }\n"
      "static int (*ways@[2])(int) = {low@, high@};\nstruct ops@ { int (*f)(int); int k; };\n"
      "static struct ops@ live@ = {high@, 3};\n"
      "int call@(int x) { int a = ways@[x & 1](x) + live@.f(live@.k); live@.k++; return a + (live@.f == high@); }\n"],
     "call@(r), call@(r + 1)"),
    # Macros, one of them asked by #if; a typedef; _Generic; an attribute of a declaration.
    ("c", "#define STEP@ <<1:2||3>>\n#define WIDE@ <<2:0||1>>\n#if WIDE@\ntypedef long num@;\n#else\ntypedef int num@;\n#endif\n"
     "#define KIND@(x) _Generic((x), int: 1, long: 2, default: 3)\nint macro@(int); int kind@(int);\n",
     [ANY + "int macro@(int x) { return x * STEP@; }\n",
      ANY + "int kind@(int x) { num@ y = x; y *= 1000000; y *= 1000; return KIND@(y) + (int)(y >> 8); }\n"],
     "macro@(r), kind@(r)"),
    ("c", "int pure@(int) <<1:||__attribute__((pure))>>; int twice@(int);\n",
     ["static int count@ = 4;\nint pure@(int x) { return x + count@; }\n",
      "int twice@(int x) { return pure@(x) + pure@(x) * <<2:1||2>>; }\n"],
     "twice@(r)"),
    # Attributes and linkage.
    ("c", "int att@(int);\n",
     ["<<1:||__attribute__((noinline)) >>static <<2:||inline __attribute__((always_inline)) >>int part@(int x) { return x * <<3:7||8>>; }\n"
      "<<4:||__attribute__((cold)) >>int att@(int x) { return part@(x) + part@(x + 1); }\n"],
     "att@(r)"),
    ("c", "int vla@(int); int bits@(int); int uni@(int);\n",
     [ANY + "int vla@(int n) { int a[n + <<1:2||3>>]; for (int i = 0; i < n + 2; i++) a[i] = i * n; return a[n] + (int)sizeof a; }\n",
      "struct bits@ { unsigned a : 3; unsigned b : 5; int c; };\nstatic struct bits@ live_bits@ = {1, 2, 3};\n"
      + ANY + "int bits@(int x) { live_bits@.a += 1; live_bits@.b += 3; return live_bits@.a * <<2:100||1000>> + live_bits@.b + x; }\n",
      "union uni@ { float f; unsigned u; };\n" + ANY + "int uni@(int x) { union uni@ v; v.f = (float)x * <<3:0.5f||0.25f>>; return (int)(v.u >> 16); }\n"],
     "vla@(r), bits@(r), uni@(r)"),
    # A new static local, a new function, a function that goes, swapped definitions.
    ("c", "int grow@(int); int swap@(int);\n",
     ["<<1:||__attribute__((noinline)) static int fresh@(int x) { static const int t[] = {1, 5, 9}; return t[x % 3]; }>>\n"
      "<<2:__attribute__((noinline)) static int old@(int x) { return x - 2; }||>>\n"
      "int grow@(int x) { return x <<1:||+ fresh@(x)>> <<2:+ old@(x)||+ 4>>; }\n",
      "<<3:static int first@(int x) { return x + 1; }\nstatic int second@(int x) { return x * 2; }||"
      "static int second@(int x) { return x + 1; }\nstatic int first@(int x) { return x * 2; }>>\n"
      "int swap@(int x) { return first@(x) * 100 + second@(x); }\n"],
     "grow@(r), swap@(r)"),
    # A function renamed, with another return type.
    ("c", "<<1:int||long>> ret@(int); int rename@(int);\n",
     ["<<1:int||long>> ret@(int x) { return (<<1:int||long>>)x * 1000000 * <<1:1||10000>>; }\n"
      "__attribute__((noinline)) static int <<2:old_name@||new_name@>>(int x) { return x + 5; }\n",
      "int rename@(int x) { return (int)(ret@(x) / 1000); }\n"],
     "rename@(r)"),

    # Overloads and specialisations that unchanged callers call from then on; ADL; default arguments.
    ("cc", "<<1:||int over@(long);>>\nint over@(int); int calls_over@(int);\n",
     ["int over@(int x) { return x; }\n<<1:||int over@(long x) { return (int)x * 100; }>>\n",
      ANY + "int calls_over@(int x) { return over@((long)x) + 1; }\n"],
     "calls_over@(r)"),
    ("cc", "template <class T> {%|__attribute__((noinline)) %}int tmpl@(T x) { return (int)x * <<2:2||3>>; }\n"
     "<<1:||template <> inline int tmpl@<int>(int x) { return x * 50; }>>\nint t1@(int); int t2@(int);\n",
     [ANY + "int t1@(int x) { return tmpl@(x) + tmpl@((long)x); }\n", ANY + "int t2@(int x) { return tmpl@(x) - tmpl@((short)x); }\n"],
     "t1@(r), t2@(r), tmpl@(r)"),
    ("cc", "namespace ns@ { struct S { int v; }; inline int adl@(const S& s) { return s.v; }\n"
     "<<1:||inline int adl@(S& s) { return s.v * 9; }>> }\nint arg@(int x, int k = <<2:1||2>>); int calls_arg@(int);\n",
     ["int arg@(int x, int k) { return x * 10 + k; }\n",
      ANY + "int calls_arg@(int x) { ns@::S s{x}; return arg@(x) + adl@(s); }\n"],
     "calls_arg@(r), arg@(r)"),
    ("cc", "template <class T = <<1:int||long long>>> int def@(int x) { T v = x; v *= 65536; v *= 65536; return (int)(v >> 31) + (int)sizeof v; }\nint calls_def@(int);\n",
     [ANY + "int calls_def@(int x) { return def@<>(x); }\n"], "calls_def@(r)"),
    # Virtual methods, thunks, covariant returns, constructors and destructors.
    ("cc", "struct A@ { virtual ~A@() {} virtual int a() const { return <<1:1||11>>; } int av = 3; };\n"
     "struct B@ { virtual ~B@() {} virtual int b(int x) { return x; } virtual B@* self() { return this; } int bv = 4; };\n"
     "struct C@ : A@, {%|virtual %}B@ { int a() const override; int b(int) override; C@* self() override; ~C@() override; C@(); int cv; };\n"
     "int poly@(int); int ended@(int);\n",
     ["static int gone@;\nint C@::a() const { return cv + <<2:2||22>>; }\nint C@::b(int x) { return x * <<3:3||33>> + cv + bv; }\n"
      "C@* C@::self() { return <<4:this||(bv += 0, this)>>; }\nC@::C@() : cv(<<5:5||6>>) {}\nC@::~C@() { gone@ += cv; }\n"
      "int ended@(int x) { return gone@ * 0 + x <<6:||+ 1>>; }\n",
      "int poly@(int x) { C@ c; A@* a = &c; B@* b = &c; int s = a->a() * 100 + b->b(x) + (b->self() == b); A@ plain; return s * 10 + plain.a(); }\n"],
     "poly@(r), ended@(r)"),
    ("cc", "struct D@ { int v; explicit D@(int x); ~D@(); D@ operator+(const D@& o) const { return D@(v + o.v * <<1:1||2>>); }\n"
     "friend int peek@(const D@& d) { return d.v <<2:||+ 4>>; } bool operator<(const D@& o) const { return v <<3:<||> >>o.v; } };\nint use_d@(int);\n",
     ["static int live@;\nD@::D@(int x) : v(x) { live@++; }\nD@::~D@() { live@--; }\n",
      "int use_d@(int x) { D@ a(x), b(x + 1); std::map<D@, int> m; m.emplace(a, 1); m.emplace(b, 2); return peek@(a + b) * 10 + m.begin()->second; }\n"],
     "use_d@(r)"),
    # Lambdas, a std::function in data, pointers to members, variants, structured bindings.
    ("cc", "int lam@(int); int held@(int);\n",
     ["int lam@(int x) { auto one = [x](int y) { return x * y + <<1:1||2>>; }; <<2:||auto zero = [](int y) { return y * 7; };>> return one(3) <<2:||+ zero(x)>>; }\n",
      "static std::function<int(int)> keep@ = [](int x) { return x + <<3:1||5>>; };\nint held@(int x) { return keep@(x) + <<4:1||2>>; }\n"],
     "lam@(r), held@(r)"),
    ("cc", "struct M@ { int p, q; int up(int x) { return p + x * <<1:2||3>>; } virtual int vm(int x) { return q - x; } };\nint mem@(int);\n",
     ["int mem@(int x) { static int (M@::*const how)(int) = &M@::up; int (M@::*v)(int) = &M@::vm; int M@::*d = <<2:&M@::p||&M@::q>>; M@ m; m.p = 4; m.q = 9; return (m.*how)(x) + (m.*v)(x) * 10 + m.*d * 100; }\n"],
     "mem@(r)"),
    ("cc", "struct vis@ { int operator()(int x) const { return x + <<1:1||2>>; } int operator()(const std::string& s) const { return (int)s.size() * <<2:1||3>>; } };\nint var@(int);\n",
     ["int var@(int x) { std::variant<int, std::string> v; if (x & 1) v = x; else v = std::string(\"<<3:four||seven77>>\"); auto [a, b] = std::pair<int, int>(x, <<4:2||3>>); int s = 0; for (int i : {1, a, b}) s += i; return std::visit(vis@{}, v) * 100 + s; }\n"],
     "var@(r), var@(r + 1)"),
    # Exceptions.
    ("cc", "struct E@ : std::runtime_error { using runtime_error::runtime_error; int code = <<1:1||2>>; };\nvoid thrower@(int) <<3:||noexcept(false)>>; int catcher@(int);\n",
     ["void thrower@(int x) { if (x % 3 == 0) throw E@(\"three\"); if (x % 3 == 1) throw std::out_of_range(\"<<2:one||uno>>\"); }\n",
      "int catcher@(int x) { struct end { int& n; ~end() { n += <<4:1||2>>; } }; int n = 0; try { end e{n}; thrower@(x); } catch (const E@& e) { return n * 10 + e.code; } catch (const <<5:std::out_of_range||std::exception>>& e) { return n * 100 + e.what()[0]; } return n; }\n"],
     "catcher@(r), catcher@(r + 1), catcher@(r + 2)"),
    # constexpr, consteval, concepts, inline variables, template statics.
    ("cc", "constexpr int ce@(int x) { return x * <<1:3||4>>; }\nconsteval int cv@(int x) { return x + <<2:1||2>>; }\ninline constexpr int arr@[] = {ce@(1), cv@(2), 3};\nint con@(int); int con2@(int);\n",
     ["int con@(int x) { return arr@[x % 3] + ce@(x); }\n", "int con2@(int x) { static_assert(cv@(1) > 0); return arr@[(x + 1) % 3] + cv@(5); }\n"],
     "con@(r), con2@(r)"),
    ("cc", "template <class T> concept big@ = sizeof(T) >= <<1:8||4>>;\ntemplate <class T> int cc@(T) { return 1; }\ntemplate <big@ T> int cc@(T x) { return 2 + (int)x; }\nint concept@(int);\n",
     ["int concept@(int x) { return cc@(x) + cc@((long)x) * 10; }\n"], "concept@(r)"),
    ("cc", "inline int iv@ = 3;\ntemplate <class T> struct TS@ { static inline int n = 2; static int add(T x) { n += 1; return n * <<1:1||10>> + (int)x; } };\ninline int loc@(int x) { static int calls = 100; return ++calls + x * <<2:1||2>>; }\nint st1@(int); int st2@(int);\n",
     ["int st1@(int x) { iv@++; return iv@ + TS@<int>::add(x) + loc@(x); }\n", "int st2@(int x) { return iv@ * <<3:1||2>> + TS@<int>::add(x) + TS@<long>::add(x) + loc@(x); }\n"],
     "st1@(r), st2@(r)"),
    # A static with a guard; thread-locals.
    ("cc", "int guarded@(int); int tl@(int);\n",
     ["static int start@() { static int starts; return ++starts * 1000; }\nnamespace { struct Big@ { int v; Big@() : v(start@()) {} }; }\n"
      "int guarded@(int x) { static Big@ big; big.v += 1; return big.v + x * <<1:1||2>>; }\n",
      "{%static %}thread_local int tn@ = 5;\nint tl@(int x) { static thread_local int more = start_tl@(); tn@ += 1; more += 2; return tn@ * <<2:10||100>> + more + x; }\n"
      .replace("int tl@", "static int start_tl@() { return 40; }\nint tl@", 1)],
     "guarded@(r), tl@(r)"),
    # Anonymous namespaces, local classes, new statics and inline functions with new statics in two units.
    ("cc", "<<1:||inline int tally@() { static int n = 10; return n; }>>\nint an1@(int); int an2@(int);\n",
     ["namespace { int same@(int x) { return x + <<2:1||2>>; } }\nint an1@(int x) { struct local { int f(int y) { return y * <<3:2||3>>; } }; return same@(x) + local().f(x) <<1:||+ tally@()>>; }\n",
      "namespace { int same@(int x) { return x * 10; } }\nint an2@(int x) { return same@(x) <<1:||+ tally@()>>; }\n"],
     "an1@(r), an2@(r)"),
    # A coroutine that is not suspended between rounds.
    ("cc", "struct Co@ { struct promise_type { int v = 0; Co@ get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; } std::suspend_always initial_suspend() noexcept { return {}; } std::suspend_always final_suspend() noexcept { return {}; } std::suspend_always yield_value(int x) { v = x; return {}; } void return_void() {} void unhandled_exception() {} }; std::coroutine_handle<promise_type> h; };\nint co@(int);\n",
     ["static Co@ count@(int x) { co_yield x + 1; co_yield x * <<1:2||3>>; }\nint co@(int x) { Co@ c = count@(x); int s = 0; while (c.h.resume(), !c.h.done()) s = s * 10 + c.h.promise().v; c.h.destroy(); return s + <<2:0||1>>; }\n"],
     "co@(r)"),
    # A destructor that only calls its base's shares that one's code.
    ("cc", "extern int sum@; struct P@ { ~P@(); int v; }; struct Q@ : P@ { ~Q@(); };\nint dtor@(int);\n",
     ["int sum@;\nP@::~P@() { sum@ += <<1:1||2>>; }\nQ@::~Q@() { <<2:||sum@ += 100;>> }\n",
      "int dtor@(int x) { sum@ = 0; { P@ p; p.v = x; } int s = sum@; { Q@ q; q.v = x; } return s * 1000 + sum@; }\n"],
     "dtor@(r)"),
]
