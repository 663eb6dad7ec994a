"""The Google Benchmark programs of the build: one mechanism each."""
import json
import harness

TITLE = "Mechanisms"


def run(bench):
    programs = sorted((bench.build / "bin").glob("*_benchmark"))
    if not programs:
        raise harness.Skipped("the build has no *_benchmark program")
    tables = []
    for program in programs:
        text = bench.command(program, "--benchmark_format=json",
                             f"--benchmark_repetitions={bench.rounds(9, 3)}")
        table = harness.Table(program.stem, "CPU ns", ["time"], ratios=False)
        samples = {}
        for one in json.loads(text)["benchmarks"]:
            if one["run_type"] == "iteration":
                samples.setdefault(one["name"], []).append(one["cpu_time"])
        for label, times in samples.items():
            table.add(label, {"time": times})
        tables.append(table)
    return tables
