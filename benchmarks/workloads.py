"""Programs for the steady state: how each is built, with which arguments it works, and with which it
does next to nothing (so that start-up can be taken off)."""
import os
import pathlib
import shutil

import harness


class Workload:
    """One program. build() returns the words that run it, built anew when patchc is newer."""

    def __init__(self, name, arguments, nothing, compared=True):
        self.name, self.arguments, self.nothing, self.compared = name, arguments, nothing, compared

    def build(self, bench, variant, compilers):
        folder = bench.work / "workloads" / self.name / variant
        program = folder / "program"
        if not program.exists() or program.stat().st_mtime < os.stat(bench.patchc).st_mtime:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.compile(bench, folder, program, compilers)
        return [program]

    def compile(self, bench, folder, program, compilers):
        raise NotImplementedError


class Game(Workload):
    """A program of benchmarks/steady: the tasks of the Computer Language Benchmarks Game, written for
    this project."""

    def __init__(self, file, arguments, nothing):
        super().__init__(pathlib.Path(file).stem.replace("_", "-"), arguments, nothing)
        self.file = harness.HERE / "steady" / file

    def compile(self, bench, folder, program, compilers):
        compiler = compilers.c if self.file.suffix == ".c" else compilers.cxx + ["-std=c++20"]
        bench.command(*compiler, "-O2", "-o", program, self.file, "-lm")


GAME = [Game("nbody.c", ["3000000"], ["1"]), Game("spectral_norm.cc", ["1200"], ["1"]),
        Game("fannkuch.c", ["10"], ["2"]), Game("mandelbrot.cc", ["1600"], ["1"]),
        Game("binary_trees.cc", ["16"], ["1"]), Game("regex.cc", ["500000"], ["1"]),
        Game("k_nucleotide.cc", ["120000"], ["1"])]


class Sqlite(Workload):
    """The amalgamation, made by Debian's source, and its own speed test."""

    def __init__(self):
        super().__init__("sqlite speedtest1", ["--size", "10", ":memory:"],
                         ["--size", "1", "--testset", "fp", ":memory:"], compared=False)

    def compile(self, bench, folder, program, compilers):
        source = sqlite_source(bench)
        bench.command(*compilers.c, "-O2", "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION",
                      f"-I{source}", "-o", program, source / "test" / "speedtest1.c", source / "sqlite3.c", "-lm")


def sqlite_source(bench):
    source = harness.debian_source(bench, "sqlite3")
    if not (source / "sqlite3.c").exists():
        if shutil.which("tclsh") is None:
            raise harness.Skipped("needs tclsh to put the amalgamation together")
        bench.command("./configure", "--disable-tcl", "--disable-readline", "CC=clang-22", cwd=source)
        bench.command("make", "-s", "sqlite3.c", "shell.c", cwd=source)
    return source


class Zlib(Workload):
    """Text is compressed and decompressed in memory."""

    SOURCES = ["adler32", "compress", "crc32", "deflate", "inflate", "inftrees", "inffast", "trees",
               "uncompr", "zutil"]

    def __init__(self):
        super().__init__("zlib", ["8000000"], ["1"])

    def compile(self, bench, folder, program, compilers):
        source = harness.debian_source(bench, "zlib")
        bench.command(*compilers.c, "-O2", f"-I{source}", "-o", program, harness.HERE / "steady" / "zlib_roundtrip.c",
                      *[source / f"{name}.c" for name in self.SOURCES])


class LevelDb(Workload):
    """db_bench, built by LevelDB's own CMake files."""

    BENCHMARKS = "fillseq,fillrandom,overwrite,readrandom,readseq,readreverse,compact,readrandom"

    def __init__(self):
        options = [f"--benchmarks={self.BENCHMARKS}", "--compression_ratio=0.5"]
        super().__init__("leveldb db_bench", [*options, "--num=60000"], [*options, "--num=1"], compared=False)

    def compile(self, bench, folder, program, compilers):
        source = harness.debian_source(bench, "leveldb")
        sources = [p for part in ("db", "table", "util") for p in sorted((source / part).glob("*.cc"))
                   if not p.stem.endswith("_test") and p.stem not in ("leveldbutil", "testutil", "env_windows")]
        sources += [source / "helpers/memenv/memenv.cc", source / "util/testutil.cc",
                    source / "benchmarks/db_bench.cc"]
        config = folder / "port" / "port_config.h"
        config.parent.mkdir()
        config.write_text("#define HAVE_FDATASYNC 1\n#define HAVE_FULLFSYNC 0\n#define HAVE_O_CLOEXEC 1\n"
                          "#define HAVE_CRC32C 0\n#define HAVE_SNAPPY 0\n#define HAVE_ZSTD 0\n")
        bench.command(*compilers.cxx, "-std=c++17", "-O2", "-pthread", "-DLEVELDB_PLATFORM_POSIX=1",
                      "-DLEVELDB_COMPILE_LIBRARY", f"-I{folder}", f"-I{source}", f"-I{source}/include",
                      "-o", program, *sources)

    def build(self, bench, variant, compilers):
        words = super().build(bench, variant, compilers)
        database = bench.work / "workloads" / self.name / "database"
        return [*words, f"--db={database}"]


def all_workloads():
    return [*GAME, Sqlite(), Zlib(), LevelDb()]
