"""From exec to exit, and memory: programs that do nothing, native and hosted."""
import harness

TITLE = "Start-up and memory"
HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


def run(bench):
    folder = bench.folder("startup")
    (folder / "hello.c").write_text(HELLO)
    bench.command("clang-22", "-O2", "-o", folder / "native", folder / "hello.c")
    bench.command(bench.patchc, "cc", "-O2", "-o", folder / "hosted", folder / "hello.c")
    programs = {"hello": {"native": [folder / "native"], "hosted": [folder / "hosted"]}}
    try:
        programs["lua -v"] = {"native": [harness.build_lua(bench, "native", "clang-22"), "-v"],
                              "hosted": [harness.build_lua(bench, "hosted", f"{bench.patchc} cc"), "-v"]}
    except harness.Skipped:
        pass
    wall = harness.Table("from exec to exit", "ms", ["native", "hosted"], ratios=False,
                         goal="at most 40 ms more than native (must: 60 ms for 2 ms)")
    cpu = harness.Table("CPU time", "ms", ["native", "hosted"], summary="least", ratios=False)
    memory = harness.Table("largest resident size", "MB", ["native", "hosted"], ratios=False)
    for label, variants in programs.items():
        runs = harness.interleave(bench.rounds(60, 15), {
            name: (lambda words=words: bench.timed(*words)) for name, words in variants.items()})
        for table, part, scale in ((wall, 0, 1e3), (cpu, 1, 1e3), (memory, 2, 1e-6)):
            table.add(label, {name: [scale * r[part] for r in taken] for name, taken in runs.items()})
    return [wall, cpu, memory]
