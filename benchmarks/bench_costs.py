"""Exceptions (with many patch modules too), thread-locals, threads: native and hosted."""
import harness

TITLE = "Costs of being hosted: exceptions, thread-locals, threads"
FUNCTIONS_IN_UNIT = 10
LABELS = {"throw": "an exception through ten frames", "local": "a call that increments a thread-local",
          "static": "the same with a static variable", "thread": "a thread created and joined"}


def unit_text(unit, changed=None):
    return "".join(f"int patched{i}(int x) {{ return x + {i + (1000000 if i == changed else 0)}; }}\n"
                   for i in range(unit * FUNCTIONS_IN_UNIT, (unit + 1) * FUNCTIONS_IN_UNIT))


def apply_many(bench, folder, target, count):
    """Patches on top of one another, each a module of its own with one function."""
    for i in range(count):
        unit = i // FUNCTIONS_IN_UNIT
        edited = folder / "edited" / f"unit{unit}.c"
        edited.write_text(unit_text(unit, i))
        report = bench.apply(target, edited, "--no-replace", "--name", f"patch{i}")
        assert report["outcome"] == "complete", report


def run(bench):
    folder = bench.folder("costs")
    (folder / "edited").mkdir()
    modules = 50 if bench.quick else 1000
    units = []
    for unit in range(modules // FUNCTIONS_IN_UNIT):
        units.append(folder / f"unit{unit}.c")
        units[-1].write_text(unit_text(unit))
        bench.command(bench.patchc, "cc", "-O2", "-c", "-o", units[-1].with_suffix(".o"), units[-1])
    source = harness.HERE / "costs" / "costs.cc"
    flags = ["-std=c++20", "-O2", "-pthread"]
    # As a library's code would: local-exec is for executables alone.
    bench.command("clang++-22", *flags, "-fPIC", "-ftls-model=initial-exec", "-o", folder / "native", source)
    bench.command(bench.patchc, "c++", *flags, "-o", folder / "hosted", source, *[u.with_suffix(".o") for u in units])
    patched = f"hosted, {modules} patch modules"
    variants = ["native", "native again", "hosted", patched]
    table = harness.Table("operation", "ns", variants, summary="least", control="native again",
                          goal="exceptions as native; a thread-local within 0.1 ns; a thread within 10 us")
    samples = {operation: {variant: [] for variant in variants} for operation in LABELS}
    with harness.Conversation(bench, folder / "hosted") as hosted, \
         harness.Conversation(bench, folder / "native") as native:
        hosted.await_target()

        def measure_beside(variant):
            for _ in range(bench.rounds(7, 2)):
                for operation, of_operation in samples.items():
                    of_operation["native"].append(float(native.ask(operation)))
                    of_operation[variant].append(float(hosted.ask(operation)))
                    of_operation["native again"].append(float(native.ask(operation)))

        measure_beside("hosted")
        apply_many(bench, folder, hosted, modules)
        measure_beside(patched)
    for operation, of_operation in samples.items():
        table.add(LABELS[operation], of_operation)
    return [table]
