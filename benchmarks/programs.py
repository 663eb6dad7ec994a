"""The programs whose start and memory are measured, native and hosted, and patches for them."""
import pathlib
import re

import harness

HELLO = """#include <stdio.h>
{functions}
int main(void) {{
  puts("ready");
  fflush(stdout);
  getchar();
  return 0;
}}
"""
# What a patch puts at the beginning of a function.
CHANGE = " volatile int changed = 1; (void)changed;"
# A definition that begins a line and has no more than a line's worth of parameters.
DEFINITION = re.compile(r"^\w[^;=#\n]*\)(?: const)? \{$", re.MULTILINE)


class Program:
    """words: by variant; they print a line when the program is ready, and it goes on until its input
    ends. `sources`: files with ten functions or more between them."""

    def __init__(self, label, words, sources):
        self.label, self.words, self.sources = label, words, sources


def hello(bench, folder):
    source = folder / "hello.c"
    source.write_text(HELLO.format(functions="\n".join(
        f"int step{i}(int x) {{\n  return x + {i};\n}}" for i in range(10))))
    bench.command("clang-22", "-O2", "-o", folder / "hello-native", source)
    bench.command(bench.patchc, "cc", "-O2", "-o", folder / "hello-hosted", source)
    return Program("hello", {v: [folder / f"hello-{v}"] for v in ("native", "hosted")}, [source])


def sample_service(bench, folder):
    sources = sorted((harness.ROOT / "samples" / "kv" / "service").glob("*.cc"))
    flags = ["-std=c++20", "-O2", "-pthread"]
    bench.command("clang++-22", *flags, "-o", folder / "kv-native", *sources)
    bench.command(bench.patchc, "c++", *flags, "-o", folder / "kv-hosted", *sources)
    return Program("sample service (kv)",
                   {v: [folder / f"kv-{v}", "0"] for v in ("native", "hosted")}, sources)


def lua(bench):
    programs = {"native": harness.build_lua(bench, "native", "clang-22"),
                "hosted": harness.build_lua(bench, "hosted", f"{bench.patchc} cc")}
    script = "print('ready') io.flush() io.read()"
    return Program("lua", {v: [program, "-e", script] for v, program in programs.items()},
                   [harness.debian_source(bench, "lua5.4") / "src" / "lstrlib.c"])


def redis(bench):
    programs = {"native": harness.build_redis(bench, "native", "clang-22"),
                "hosted": harness.build_redis(bench, "hosted", f"{bench.patchc} cc")}
    # Without a port or a socket it does not go on.
    options = ["--port", "0", "--unixsocket", bench.work / "run" / "redis.sock", "--save", "", "--appendonly", "no"]
    return Program("redis-server", {v: [program, *options] for v, program in programs.items()},
                   [harness.debian_source(bench, "redis", 5) / "src" / "t_string.c"])


def all_programs(bench, folder):
    """Those that can be had here, and why others cannot."""
    programs, skipped = [hello(bench, folder), sample_service(bench, folder)], []
    for make in (lua, redis):
        try:
            programs.append(make(bench))
        except harness.Skipped as reason:
            skipped.append(f"{make.__name__} skipped: {reason}")
    return programs, skipped


def edits(program, folder, count):
    """The files of `count` edits, each of one function more: `folder`/N/NAME."""
    files = []
    for source in program.sources:
        text = source.read_text()
        for found in DEFINITION.finditer(text):
            if len(files) == count:
                return files
            file = pathlib.Path(folder, str(len(files)), source.name)
            file.parent.mkdir(parents=True)
            file.write_text(text[:found.end()] + CHANGE + text[found.end():])
            files.append(file)
    raise RuntimeError(f"{program.label} has {len(files)} functions, not {count}")


def patch_folder(bench, program, folder, count):
    """A folder of that many modules, for --patch-dir, each for a function of its own."""
    modules = folder / "modules"
    modules.mkdir(parents=True)
    for i, file in enumerate(edits(program, folder, count)):
        bench.command(bench.patchc, "build", "--name", f"fix{i}", "--no-replace", "-o", modules / f"fix{i}.mendpatch",
                      "--base", program.words["hosted"][0], file)
    return modules
