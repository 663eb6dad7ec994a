"""Lua 5.4 built by its own Makefile, by clang-22 and by patchc cc, both at -O2; ten scripts."""
import subprocess

import harness

TITLE = "Steady state: Lua, hosted and fully patchable, against native clang-22 -O2"


def run(bench):
    native = harness.build_lua(bench, "native", "clang-22")
    hosted = harness.build_lua(bench, "hosted", f"{bench.patchc} cc")
    def measure(program, script):
        text = subprocess.run([program, harness.HERE / "lua" / "measure.lua", script],
                              env=bench.environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        return 1e3 * float(text)

    table = harness.Table("script", "CPU ms", ["native", "native again", "hosted"], summary="least",
                          control="native again", goal="geometric mean at most 1.03")
    scripts = sorted((harness.HERE / "lua" / "scripts").glob("*.lua"))
    samples = {script.stem: {v: [] for v in table.variants} for script in scripts}
    programs = {"native": native, "hosted": hosted, "native again": native}
    for _ in range(bench.rounds(9, 3)):
        for script in scripts:
            for variant, program in programs.items():
                samples[script.stem][variant].append(measure(program, script))
    for label, of_script in samples.items():
        table.add(label, of_script)
    return [table]
