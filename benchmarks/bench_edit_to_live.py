"""patchc apply, from an edited source file to the last thread switched, by phases."""
import random

import harness

TITLE = "Edit to live: patchc apply of one changed function"
PHASES = ["compile", "compare", "link", "transition"]

HEAD = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct item { int key; long count; double weight; char name[24]; struct item *next; };
static struct item *table[64];
static long total;
void insert(struct item *item) {
  item->next = table[(unsigned)item->key % 64];
  table[(unsigned)item->key % 64] = item;
}
"""
# About twenty lines, of the kind that services are made of.
FUNCTION = """
static int check{i}(const struct item *item, int limit) {{
  if (item == NULL || item->key < {i}) return -1;
  return item->count > limit ? 1 : 0;
}}
long handle{i}(int key, const char *text) {{
  struct item *item = table[(unsigned)(key * {odd}) % 64];
  long sum = {i} * STEP{i};
  while (item != NULL && item->key != key) item = item->next;
  switch (check{i}(item, {odd})) {{
    case 1: sum += item->count * 2; break;
    case 0: item->count++; item->weight *= 0.5; break;
    default: total++; return sum + (long)strlen(text);
  }}
  for (const char *at = text; *at != 0; at++) {{
    sum = sum * 31 + *at;
    if (sum % {odd} == 3) sum += {call}
  }}
  snprintf(item->name, sizeof item->name, "%d:%s", key, text);
  return sum;
}}
"""
MAIN = """
int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) { printf("%ld\\n", handle0(1, line)); fflush(stdout); }
  return 0;
}
"""
CXX = """#include <iostream>
#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> registry;
int add(const std::string &name, int value) {
  registry[name].push_back(value + STEP0);
  int sum = 0;
  for (const auto &[key, values] : registry) for (int v : values) sum += v + (int)key.size();
  return sum;
}
int main() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << add(line, 1) << std::endl;
}
"""


HEADER = """#include <stdio.h>
#include <string.h>
static int limit(int n) {{
  int sum = 0;
  for (int i = 0; i < n % 16; i++) sum += i * {step};
  return sum;
}}
"""
HEADER_UNIT = """#include "limits.h"
int handle{i}(int n) {{ return limit(n + {i}) ^ limit(n * {i}); }}
"""
HEADER_MAIN = """#include <stdio.h>
{declarations}
int main(void) {{
  int n;
  while (scanf("%d", &n) == 1) {{ printf("%d\\n", {calls}); fflush(stdout); }}
  return 0;
}}
"""


def c_source(lines):
    generator = random.Random(1)
    text, count = HEAD, 0
    while text.count("\n") < lines - MAIN.count("\n"):
        call = f"handle{generator.randrange(count)}(key, \"again\");" if count else "1;"
        text += FUNCTION.format(i=count, odd=2 * count + 3, call=call)
        count += 1
    return text + MAIN, count


def with_steps(text, count, step):
    """`step` in the function in the middle, 1 in all others."""
    for i in range(count):
        text = text.replace(f"STEP{i};", f"{step if i == count // 2 else 1};")
    return text.replace("STEP0)", f"{step})")


def measure(bench, folder, program, files, arguments=()):
    """Applies one edited file after the other, each in place of the one before."""
    samples = {name: [] for name in [*PHASES, "all", "CPU"]}
    with harness.Conversation(bench, program, *arguments) as target:
        target.await_target()
        for file in files:
            report = bench.apply(target, file, "--name", "fix")
            assert report["outcome"] == "complete", report
            for name in PHASES:
                samples[name].append(report["phases"][f"{name}_ns"] / 1e6)
            samples["all"].append(1e3 * report["wall_s"])
            samples["CPU"].append(1e3 * report["cpu_s"])
    return samples


def generated(bench, label, text, count, extension, compiler, rounds):
    folder = bench.folder("edit")
    name = f"unit{extension}"
    (folder / name).write_text(with_steps(text, count, 1))
    bench.command(bench.patchc, compiler, "-O2", "-c", name, "-o", "unit.o", cwd=folder)
    bench.command(bench.patchc, compiler, "-o", "program", "unit.o", cwd=folder)
    files = []
    for step in range(2, 2 + rounds):
        (folder / str(step)).mkdir()
        files.append(folder / str(step) / name)
        files[-1].write_text(with_steps(text, count, step))
    samples = measure(bench, folder, folder / "program", files)
    samples["clang-22 -c"] = [
        1e3 * bench.timed("clang-22" if compiler == "cc" else "clang++-22", "-O2", "-c",
                          folder / name, "-o", folder / "native.o")[1] for _ in range(rounds)]
    return label, samples


def lua(bench, rounds):
    source = harness.debian_source(bench, "lua5.4")
    program = harness.build_lua(bench, "hosted", f"{bench.patchc} cc")
    folder = bench.folder("edit-lua")
    text = (source / "src" / "lparser.c").read_text()
    files = []
    for step in range(rounds):
        (folder / str(step)).mkdir()
        files.append(folder / str(step) / "lparser.c")
        # What Debian's fix of CVE-2022-28805 does, told apart by the name of the variable.
        files[-1].write_text(text.replace(
            "    expdesc key;\n", "    expdesc key;\n    luaK_exp2anyregup(fs, var);\n"
            f"    if (fs->nk < -{step + 1}) return;\n", 1))
    samples = measure(bench, folder, program, files)
    samples["clang-22 -c"] = [
        1e3 * bench.timed("clang-22", "-O2", "-DLUA_USE_LINUX", "-DLUA_COMPAT_5_3", "-c",
                          source / "src" / "lparser.c", "-o", folder / "native.o")[1]
        for _ in range(rounds)]
    return f"Lua's lparser.c, {text.count(chr(10))} lines", samples


def redis(bench, rounds):
    program = harness.build_redis(bench, "hosted", f"{bench.patchc} cc")
    source = program.parent / "module.c"
    folder = bench.folder("edit-redis")
    text = source.read_text()
    files = []
    for step in range(rounds):
        (folder / str(step)).mkdir()
        files.append(folder / str(step) / source.name)
        files[-1].write_text(text.replace(
            "int moduleDelKeyIfEmpty(RedisModuleKey *key) {\n",
            "int moduleDelKeyIfEmpty(RedisModuleKey *key) {\n"
            f"    if (key == NULL || key->mode == -{step + 1}) return 0;\n", 1))
    # Without a port or a socket it does not go on.
    samples = measure(bench, folder, program, files,
                      ["--port", "0", "--unixsocket", folder / "socket", "--save", "", "--appendonly", "no"])
    samples["clang-22 -c"] = [
        1e3 * bench.timed("make", "-s", "-B", "module.o", "CC=clang-22", "MALLOC=libc", "BUILD_TLS=no",
                          "USE_SYSTEMD=no", "OPTIMIZATION=-O2",
                          cwd=harness.build_redis(bench, "native", "clang-22").parent)[1]
        for _ in range(min(rounds, 3))]
    return f"redis' module.c, {text.count(chr(10))} lines", samples


def header(bench, rounds):
    """A function of a header that 50 units include, each of which has a copy of its own."""
    folder = bench.folder("edit-header")
    (folder / "limits.h").write_text(HEADER.format(step=1))
    units = 50
    for i in range(units):
        (folder / f"unit{i}.c").write_text(HEADER_UNIT.format(i=i))
        bench.command(bench.patchc, "cc", "-O2", "-c", f"unit{i}.c", "-o", f"unit{i}.o", cwd=folder)
    calls = " + ".join(f"handle{i}(n)" for i in range(units))
    declarations = "".join(f"int handle{i}(int n);\n" for i in range(units))
    (folder / "main.c").write_text(HEADER_MAIN.format(declarations=declarations, calls=calls))
    bench.command(bench.patchc, "cc", "-O2", "-o", "program", "main.c", *[f"unit{i}.o" for i in range(units)],
                  cwd=folder)
    files = []
    for step in range(2, 2 + rounds):
        (folder / str(step)).mkdir()
        files.append(folder / str(step) / "limits.h")
        files[-1].write_text(HEADER.format(step=step))
    samples = measure(bench, folder, folder / "program", files)
    samples["clang-22 -c"] = [
        1e3 * sum(bench.timed("clang-22", "-O2", "-c", folder / f"unit{i}.c", "-o", folder / "native.o")[1]
                  for i in range(units))]
    return f"a header that {units} units of C include", samples


def run(bench):
    rounds = bench.rounds(15, 4)
    table = harness.Table("changed unit", "ms", ["all", *PHASES, "CPU", "clang-22 -c"], ratios=False,
                          goal="all: C of 100 lines in 60, of 3000 in 300, redis' largest file in 700, C++ with containers in 400")
    table.notes.append("all: wall clock of the command; CPU: of the command; clang-22 -c: CPU of "
                       "compiling the unit, for comparison")
    for lines in (100, 3000):
        text, count = c_source(lines)
        table.add(*generated(bench, f"C, {lines} lines", text, count, ".c", "cc", rounds))
    try:
        table.add(*lua(bench, rounds))
    except harness.Skipped as reason:
        table.notes.append(f"without Lua: {reason}")
    try:
        table.add(*redis(bench, bench.rounds(7, 2)))
    except harness.Skipped as reason:
        table.notes.append(f"without redis: {reason}")
    table.add(*header(bench, bench.rounds(7, 2)))
    table.add(*generated(bench, "C++, iostream, vector, map", CXX, 1, ".cc", "c++", rounds))
    return [table]
