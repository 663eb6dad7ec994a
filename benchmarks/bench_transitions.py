"""A ready patch module goes in and out: threads blocked or running, and functions in the patch."""
import json
import re
import shutil
import time

import harness

TITLE = "Transitions: a ready module goes in"
PHASES = {"start": "start_ns", "switch": "switch_ns", "complete": "complete_ns"}


class Program:
    """A program with a module for it."""

    def __init__(self, bench, folder, sources, edited):
        self.bench, self.program, self.module = bench, folder / "program", folder / "fix.mendpatch"
        self.edited = edited
        compiler = "c++" if str(sources[0]).endswith(".cc") else "cc"
        bench.command(bench.patchc, compiler, "-O2", "-o", self.program, *sources)
        bench.command(bench.patchc, "build", "--name", "fix", "-o", self.module, "--base", self.program, edited)

    def change(self, value):
        """Another edit: the function returns that."""
        self.edited.write_text(re.sub(r"return \d+", f"return {value}", self.edited.read_text()))

    def measure(self, rounds, *arguments):
        """Milliseconds per phase; the module's link time too."""
        samples = {name: [] for name in [*PHASES, "link"]}
        with harness.Conversation(self.bench, self.program, *arguments) as target:
            if target.process.stdout.readline().strip() != "ready":
                raise RuntimeError("the program is not ready")
            for _ in range(rounds):
                report = self.bench.apply(target, self.module)
                assert report["outcome"] == "complete", json.dumps(report)
                for name, key in PHASES.items():
                    samples[name].append(report["transition"][key] / 1e6)
                samples["link"].append(report["phases"]["link_ns"] / 1e6)
                self.bench.command(self.bench.mend, "disable", target.pid, "fix")
        return samples


def measure_threads(bench):
    folder = bench.folder("transitions")
    for file in (harness.HERE / "transitions").glob("*.*"):
        shutil.copy(file, folder)
    (folder / "edited").mkdir()
    (folder / "edited" / "version.cc").write_text(
        (folder / "version.cc").read_text().replace("return 1", "return 2"))
    program = Program(bench, folder, [folder / "threads.cc", folder / "version.cc"],
                      folder / "edited" / "version.cc")
    table = harness.Table("threads", "ms", list(PHASES), ratios=False,
                          goal="switch: 1000 blocked in 2 ms (must: 5 ms)")
    cases = [("condition", count, 0) for count in (1, 10, 100, 1000)]
    cases += [(kind, 1000, 0) for kind in ("epoll", "sleep", "read")]
    cases += [("condition", 0, 1), ("condition", 0, 2), ("condition", 2, 2)]
    for kind, blocked, running in cases:
        words = ([f"{blocked} blocked ({kind})"] if blocked else []) + (
            [f"{running} running"] if running else [])
        samples = program.measure(bench.rounds(30, 8), kind, blocked, running)
        table.add(", ".join(words), samples)
    deep = harness.Table("frames on each of 10 blocked stacks", "ms", list(PHASES), ratios=False,
                         goal="linear")
    for depth in (10, 100, 1000):
        deep.add(str(depth), program.measure(bench.rounds(30, 8), "condition", 10, 0, depth))
    return [table, deep, measure_stacked(bench, program)]


def measure_stacked(bench, program):
    """Patches on top of one another, each one more: the last one's phases."""
    table = harness.Table("patches stacked", "ms", [*PHASES, "link"], ratios=False, goal="linear")
    with harness.Conversation(bench, program.program, "condition", 10, 0) as target:
        target.process.stdout.readline()
        most = 20 if bench.quick else 100
        for count in range(1, most + 1):
            report = bench.apply(target, program.edited, "--no-replace", "--name", f"fix{count}")
            assert report["outcome"] == "complete", json.dumps(report)
            if count in (1, 10, 20, 50, 100):
                samples = {name: [report["transition"][key] / 1e6] for name, key in PHASES.items()}
                samples["link"] = [report["phases"]["link_ns"] / 1e6]
                table.add(str(count), samples)
            program.change(count + 2)
    return table


def measure_functions(bench):
    table = harness.Table("functions in the patch", "ms", [*PHASES, "link"], ratios=False,
                          goal="10 000 in 10 ms, linear")
    for count in (1, 10, 100, 1000) if bench.quick else (1, 10, 100, 1000, 10000):
        folder = bench.folder("functions")
        text = ("#include <stdio.h>\n#include <string.h>\nenum { STEP = 1 };\n" +
                "".join(f"int f{i}(int x) {{ return x * {i} + STEP; }}\n" for i in range(count)) +
                "int main(void) { char line[9]; puts(\"ready\"); fflush(stdout);\n"
                "  while (fgets(line, sizeof line, stdin)) {}\n  return 0; }\n")
        (folder / "many.c").write_text(text)
        (folder / "edited").mkdir()
        (folder / "edited" / "many.c").write_text(text.replace("STEP = 1", "STEP = 2"))
        program = Program(bench, folder, [folder / "many.c"], folder / "edited" / "many.c")
        table.add(str(count), program.measure(bench.rounds(15, 5)))
    return table


def measure_peers(bench):
    """The same change of one function, 10 and 1000 threads asleep, in other ways: until every thread is
    certain to run the new one."""
    folder = bench.folder("transitions-peers")
    table = harness.Table("the same change otherwise", "ms", ["10 threads", "1000 threads"], ratios=False)
    rounds = bench.rounds(15, 5)
    peers = folder / "peers"
    bench.command("clang++-22", "-std=c++20", "-O2", "-pthread", "-o", peers,
                  harness.HERE / "transitions" / "peers.cc", "-ldl")
    for version in (1, 2):
        source = folder / f"version{version}.c"
        source.write_text(f"int version(void) {{ return {version}; }}\n")
        bench.command("clang-22", "-O2", "-fPIC", "-shared", "-o", folder / f"version{version}.so", source)

    def ask(words):
        return [float(line) for line in bench.command(*words, cwd=folder).split()]

    for label, manner in (("all threads stopped by signals, pointer swapped", "stop"),
                          ("dlopen and pointer swap (no consistency)", "dlopen")):
        table.add(label, {f"{threads} threads": ask([peers, manner, threads, rounds])
                          for threads in (10, 1000)})
    table.add("restart (state lost)", {f"{threads} threads": [measure_restart(bench, peers, threads)
                                                              for _ in range(rounds)]
                                       for threads in (10, 1000)})
    if shutil.which("javac") is None or shutil.which("jar") is None:
        table.notes.append("HotSpot's class redefinition skipped: no JDK")
        return table
    hotspot = folder / "hotspot"
    shutil.copytree(harness.HERE / "transitions" / "hotspot", hotspot)
    bench.command("javac", *sorted(hotspot.glob("*.java")), cwd=hotspot)
    bench.command("jar", "cfm", "agent.jar", "manifest.txt", *[p.name for p in hotspot.glob("*.class")],
                  cwd=hotspot)
    table.add("HotSpot, class redefinition", {
        f"{threads} threads": ask(["java", "-Xss256k", f"-javaagent:{hotspot}/agent.jar", "-cp", hotspot,
                                   "Redefine", threads, rounds]) for threads in (10, 1000)})
    return table


def measure_restart(bench, peers, threads):
    """Milliseconds from the end of one process to the readiness of the next."""
    with harness.Conversation(bench, peers, "wait", threads) as old:
        old.process.stdout.readline()
        begin = time.perf_counter()
        old.process.kill()
        old.process.wait()
        with harness.Conversation(bench, peers, "wait", threads) as new:
            new.process.stdout.readline()
            return 1e3 * (time.perf_counter() - begin)


def run(bench):
    return [*measure_threads(bench), measure_functions(bench), measure_peers(bench)]
