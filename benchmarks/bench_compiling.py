"""patchc cc beside clang-22: CPU time per unit, and the size of what comes out."""
import os
import harness

TITLE = "Compile time and object size: Lua's units at -O2"
FLAGS = ["-O2", "-DLUA_USE_LINUX", "-DLUA_COMPAT_5_3", "-c"]


def run(bench):
    source = harness.debian_source(bench, "lua5.4") / "src"
    folder = bench.folder("compiling")
    units = sorted(source.glob("*.c"))
    if bench.quick:
        units = [unit for unit in units if unit.stem in ("lparser", "lvm", "lapi", "lmem")]
    times = harness.Table("unit", "CPU ms", ["clang-22", "clang-22 again", "patchc cc"],
                          summary="least", control="clang-22 again", goal="1.15")
    sizes = harness.Table("unit", "kB", ["clang-22", "patchc cc", "without sources"], goal="2")
    compilers = {"clang-22": ["clang-22"], "patchc cc": [bench.patchc, "cc"],
                 "clang-22 again": ["clang-22"]}
    for unit in units:
        objects = {name: folder / f"{unit.stem}.{i}.o" for i, name in enumerate(compilers)}
        times.add(unit.stem, harness.interleave(bench.rounds(7, 3), {
            name: (lambda name=name, words=words:
                   1e3 * bench.timed(*words, *FLAGS, unit, "-o", objects[name])[1])
            for name, words in compilers.items()}))
        size = {name: [os.path.getsize(objects[name]) / 1e3] for name in ("clang-22", "patchc cc")}
        bench.command(bench.patchc, "strip", objects["patchc cc"])
        size["without sources"] = [os.path.getsize(objects["patchc cc"]) / 1e3]
        sizes.add(unit.stem, size)
    return [times, sizes]
