"""Memory: what a program has resident and mapped when it is ready, native and hosted; what a patchable
function and a patch take; whether applying and disabling for ever takes any."""
import bench_scale
import harness
import programs

TITLE = "Memory"


def measure_idle(bench, words):
    with harness.Conversation(bench, *words) as program:
        if not program.process.stdout.readline():
            raise RuntimeError(f"{words[0]} does not become ready")
        return harness.sizes_mb(program.pid)


def idle_table(bench, folder):
    table = harness.Table("ready and idle", "MB",
                          ["native, resident", "hosted, resident", "native, mapped", "hosted, mapped"],
                          ratios=False, goal="resident: native + 40 MB")
    table.notes.append("mapped: 2 GB of addresses are reserved for hosted code and data")
    measured, skipped = programs.all_programs(bench, folder)
    for program in measured:
        row = {}
        for variant, words in program.words.items():
            resident, mapped = zip(*(measure_idle(bench, words) for _ in range(bench.rounds(5, 2))))
            row[f"{variant}, resident"], row[f"{variant}, mapped"] = list(resident), list(mapped)
        table.add(program.label, row)
    table.notes += skipped
    return table


def functions_table(bench):
    """Generated programs: the difference that 9000 functions make."""
    few, many = (500, 2000) if bench.quick else (1000, 10000)
    table = harness.Table("a function of a generated program", "bytes", ["native", "hosted"], ratios=False)
    folders = {count: bench_scale.generate(bench, count) for count in (few, many)}
    row = {}
    for variant in ("native", "hosted"):
        resident = {count: measure_idle(bench, [folder / variant / "program"])[0]
                    for count, folder in folders.items()}
        row[variant] = [1e6 * (resident[many] - resident[few]) / (many - few)]
    table.add("resident", row)
    return table


def patches_table(bench, folder):
    """Patches on top of one another, then the same one in and out again and again."""
    program = programs.hello(bench, folder)
    stacked = programs.edits(program, folder / "stacked", 10)
    # The log keeps the newest events, of which a cycle has ten or so: it is full after some 1700.
    cycles = [10, 300, 600] if bench.quick else [10, 1000, 3000, 6000]
    stack = harness.Table("a patch of one function", "kB", ["resident"], ratios=False)
    again = harness.Table("applied and disabled", "MB", [f"{count} times" for count in cycles], ratios=False,
                          goal="flat once the event log is full")
    with harness.Conversation(bench, *program.words["hosted"]) as target:
        target.process.stdout.readline()
        target.await_target()
        bench.apply(target, stacked[0], "--no-replace", "--name", "first")
        before = harness.sizes_mb(target.pid)[0]
        for i, file in enumerate(stacked[1:]):
            bench.apply(target, file, "--no-replace", "--name", f"fix{i}")
        stack.add("on top of others", {"resident": [1e3 * (harness.sizes_mb(target.pid)[0] - before) / (len(stacked) - 1)]})
    module = folder / "again.mendpatch"
    bench.command(bench.patchc, "build", "--name", "again", "-o", module, "--base", program.words["hosted"][0],
                  stacked[0])
    with harness.Conversation(bench, *program.words["hosted"]) as target:
        target.process.stdout.readline()
        target.await_target()
        row, done = {}, 0
        for count in cycles:
            for _ in range(done, count):
                target.request("POST", "/patches", module.read_bytes())
                target.request("PUT", "/livepatch/again/enabled", "0")
            done = count
            row[f"{count} times"] = [harness.sizes_mb(target.pid)[0]]
        again.add("resident", row)
    return [stack, again]


def run(bench):
    folder = bench.folder("memory")
    return [idle_table(bench, folder), functions_table(bench), *patches_table(bench, folder)]
