"""Generated programs of many functions: load, memory, comparison, apply."""
import os
import subprocess
import time

import harness

TITLE = "Scale: generated programs"
UNIT = 1000  # functions in each unit


def unit_text(unit, count, step):
    """Functions that call the next one; the last of a unit calls into the next unit, the last of all the
    first, so that the units refer to one another in a circle."""
    first, end = unit * UNIT, min(count, (unit + 1) * UNIT)
    lines = [f"enum {{ kStep = {step} }};", "extern int calls;", f"int f{end % count}(int);"]
    for i in range(end - 1, first - 1, -1):
        lines.append(f"__attribute__((noinline)) int f{i}(int x) {{ calls += kStep; "
                     f"return x > {i % 7 + 1} ? f{(i + 1) % count}(x - {i % 7 + 1}) : x * {i % 97}; }}")
    return "\n".join(lines) + "\n"


MAIN = """#include <stdio.h>
#include <string.h>
int calls;
int f0(int);
int main(void) {
  char line[256];
  f0(1000);
  printf("ready\\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d\\n", f0(1000));
    fflush(stdout);
  }
  return 0;
}
"""


def generate(bench, count):
    folder = bench.folder(f"scale-{count}")
    sources = []
    for unit in range((count + UNIT - 1) // UNIT):
        sources.append(folder / f"unit{unit}.c")
        sources[-1].write_text(unit_text(unit, count, 1))
    (folder / "main.c").write_text(MAIN)
    (folder / "edited").mkdir()
    (folder / "edited" / "unit0.c").write_text(unit_text(0, count, 2))
    one = unit_text(0, count, 1).replace("f5(int x) { calls += kStep", "f5(int x) { calls += 3")
    (folder / "one").mkdir()
    (folder / "one" / "unit0.c").write_text(one)
    for variant, compiler in (("native", ["clang-22"]), ("hosted", [bench.patchc, "cc"])):
        (folder / variant).mkdir()
        jobs = [[*compiler, "-O2", "-c", source, "-o", folder / variant / f"{source.stem}.o"]
                for source in [*sources, folder / "main.c"]]
        while jobs:
            running = [subprocess.Popen([str(word) for word in job], env=bench.environment)
                       for job in jobs[:os.cpu_count()]]
            if any(process.wait() != 0 for process in running):
                raise RuntimeError("a generated unit does not compile")
            jobs = jobs[os.cpu_count():]
        bench.command(*compiler, "-O2", "-o", folder / variant / "program", *sorted((folder / variant).glob("*.o")))
    return folder


def start(bench, program):
    """Milliseconds of wall and CPU time until the program is ready, and its resident size."""
    begin = time.perf_counter()
    with harness.Conversation(bench, program) as target:
        target.process.stdout.readline()
        wall = 1e3 * (time.perf_counter() - begin)
        with open(f"/proc/{target.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        cpu = 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return wall, cpu, harness.sizes_mb(target.pid)[0]


def run(bench):
    load = harness.Table("functions: load", "", ["native (ms)", "hosted (ms)", "hosted (CPU ms)", "native (MB)",
                                                 "hosted (MB)"], ratios=False, goal="linear, 100 000 in 2 s")
    phases = ["all", "compile", "compare", "link", "transition"]
    applied = harness.Table("functions: apply", "ms", phases, ratios=False, goal="linear, none over 2 s")
    for count in (1000, 10000) if bench.quick else (1000, 10000, 100000):
        folder = generate(bench, count)
        native, hosted = folder / "native" / "program", folder / "hosted" / "program"
        starts = harness.interleave(bench.rounds(7, 2), {"native": lambda: start(bench, native),
                                                         "hosted": lambda: start(bench, hosted)})
        load.add(str(count), {"native (ms)": [s[0] for s in starts["native"]],
                              "hosted (ms)": [s[0] for s in starts["hosted"]],
                              "hosted (CPU ms)": [s[1] for s in starts["hosted"]],
                              "native (MB)": [s[2] for s in starts["native"]],
                              "hosted (MB)": [s[2] for s in starts["hosted"]]})
        for edit, words in (("one", "one changed"), ("edited", f"{UNIT} changed")):
            samples = {phase: [] for phase in phases}
            with harness.Conversation(bench, hosted) as target:
                target.process.stdout.readline()
                for _ in range(bench.rounds(5, 1)):
                    report = bench.apply(target, folder / edit / "unit0.c", "--name", "edit")
                    assert report["outcome"] == "complete", report
                    samples["all"].append(1e3 * report["wall_s"])
                    for phase in phases[1:]:
                        samples[phase].append(report["phases"][f"{phase}_ns"] / 1e6)
                    bench.command(bench.mend, "disable", target.pid, "edit")
                    bench.command(bench.mend, "remove", target.pid, "edit")
            applied.add(f"{count}, {words}", samples)
    return [load, applied]
