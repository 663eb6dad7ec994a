"""Programs that compute: native clang-22 -O2 and hosted, every function patchable."""

import harness
import workloads

TITLE = "Steady state: programs, hosted and fully patchable, against native clang-22 -O2"
GOAL = "geometric mean at most 1.01, none above 1.03"


def least_start(bench, words, workload):
    """CPU seconds of runs that do next to nothing, the least. Measured once and not again beside each run:
    the least of many differences would be the one whose start happened to take longest."""
    return min(bench.timed(*words, *workload.nothing)[1] for _ in range(bench.rounds(15, 7)))


class Program:
    """A workload built natively and hosted; the same arguments, the same output."""

    def __init__(self, bench, workload):
        self.bench, self.workload = bench, workload
        self.commands = {"native": workload.build(bench, "native", harness.NATIVE),
                         "hosted": workload.build(bench, "hosted", bench.hosted())}
        outputs = {name: bench.command(*words, *workload.arguments) for name, words in self.commands.items()}
        self.start = {name: least_start(bench, words, workload) for name, words in self.commands.items()}
        if workload.compared and outputs["native"] != outputs["hosted"]:
            raise RuntimeError(f"{workload.name}: hosted says something else than native")

    def measure(self, variant):
        """CPU ms of the work alone."""
        build = "hosted" if variant == "hosted" else "native"
        whole = self.bench.timed(*self.commands[build], *self.workload.arguments)[1]
        return 1e3 * (whole - self.start[build])


def measure_programs(bench, programs):
    table = harness.Table("program", "CPU ms", ["native", "native again", "hosted"], summary="least",
                          control="native again", goal=GOAL)
    samples = {p.workload.name: {v: [] for v in table.variants} for p in programs}
    for _ in range(bench.rounds(11, 3)):
        for program in programs:
            for variant in table.variants:
                samples[program.workload.name][variant].append(program.measure(variant))
    for name, of_program in samples.items():
        table.add(name, of_program)
    return table


# What a program's ratio is made of: each part of being patchable left out in turn (patchc's option
# for this, hidden, since what it makes cannot be patched).
PARTS = {"all": [], "no polls": ["polls"], "no entry stubs": ["entry-stubs"],
         "facts from bodies": ["derefinable"], "none": ["polls", "entry-stubs", "derefinable"]}


def measure_parts(bench):
    table = harness.Table("parts of being patchable, hosted", "CPU ms", ["native", *PARTS], summary="least",
                          goal="says where the rest goes: each left out in turn")
    for workload in workloads.GAME:
        words = {"native": workload.build(bench, "native", harness.NATIVE)}
        for name, left_out in PARTS.items():
            words[name] = workload.build(bench, name.replace(" ", "-"), bench.hosted(left_out))
        start = {variant: least_start(bench, w, workload) for variant, w in words.items()}
        samples = harness.interleave(bench.rounds(7, 2), {
            variant: (lambda v=variant, w=w: 1e3 * (bench.timed(*w, *workload.arguments)[1] - start[v]))
            for variant, w in words.items()})
        table.add(workload.name, samples)
    return table


def run(bench):
    programs, skipped = [], []
    for workload in workloads.all_workloads():
        try:
            programs.append(Program(bench, workload))
        except harness.Skipped as reason:
            skipped.append(f"{workload.name} skipped: {reason}")
    tables = [measure_programs(bench, programs), measure_parts(bench)]
    tables[0].notes += skipped
    return tables
