"""A ready patch module goes in and out: threads blocked or running, and functions in the patch."""
import json
import shutil

import harness

TITLE = "Transitions: a ready module goes in"
PHASES = {"start": "start_ns", "switch": "switch_ns", "complete": "complete_ns"}


class Program:
    """A program with a module for it."""

    def __init__(self, bench, folder, sources, edited):
        self.bench, self.program, self.module = bench, folder / "program", folder / "fix.mendpatch"
        compiler = "c++" if str(sources[0]).endswith(".cc") else "cc"
        bench.command(bench.patchc, compiler, "-O2", "-o", self.program, *sources)
        bench.command(bench.patchc, "build", "--name", "fix", "-o", self.module, "--base", self.program, edited)

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
    for file in (harness.HERE / "transitions").iterdir():
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


def run(bench):
    return [measure_threads(bench), measure_functions(bench)]
