"""One call, in every manner: native direct and through a PLT; hosted, not patched, once, ten times."""
import random
import shutil

import harness

TITLE = "Calls"
MANNERS = ["direct", "virtual", "std::function", "4000 in random order"]
CALLEES = 4000


def generate_many(folder):
    numbers = list(range(CALLEES))
    random.Random(1).shuffle(numbers)
    (folder / "many.cc").write_text(
        "constexpr long kStep = 1;\n" +
        "".join(f"long many{i}(long x) {{ return x + kStep + {i}; }}\n" for i in range(CALLEES)))
    (folder / "call_many.cc").write_text(
        '#include "calls.h"\n' + "".join(f"long many{i}(long x);\n" for i in range(CALLEES)) +
        "long call_many(long x) {\n" + "".join(f"  x = many{i}(x);\n" for i in numbers) +
        "  return x;\n}\n")


def build(bench, folder):
    sources = [folder / name for name in ("main.cc", "call_many.cc", "callee.cc", "many.cc")]
    bench.command("clang++-22", "-O2", "-pthread", "-o", folder / "native", *sources)
    bench.command("clang++-22", "-O2", "-fPIC", "-shared", "-o", folder / "libcallees.so", *sources[2:])
    for name, flag in (("plt", "-fplt"), ("no-plt", "-fno-plt")):
        bench.command("clang++-22", "-O2", flag, "-o", folder / name, *sources[:2],
                      folder / "libcallees.so", f"-Wl,-rpath,{folder}")
    bench.command(bench.patchc, "c++", "-O2", "-o", folder / "hosted", *sources)


def patch(bench, folder, target, step, *options):
    edited = []
    for name in ("callee.cc", "many.cc"):
        (folder / "edited").mkdir(exist_ok=True)
        edited.append(folder / "edited" / name)
        edited[-1].write_text((folder / name).read_text().replace("kStep = 1", f"kStep = {step}"))
    return bench.apply(target, *edited, "--name", "step", *options)["outcome"]


def run(bench):
    folder = bench.folder("calls")
    for file in (harness.HERE / "calls").iterdir():
        shutil.copy(file, folder)
    generate_many(folder)
    build(bench, folder)
    variants = ["native", "native again", "PLT", "-fno-plt", "hosted", "in transition", "patched once",
                "patched ten times"]
    table = harness.Table("call", "ns", variants, summary="least", control="native again",
                          goal="hosted as native, patched within 5 % of PLT")
    samples = {manner: {v: [] for v in variants} for manner in MANNERS}
    for _ in range(bench.rounds(5, 2)):
        with harness.Conversation(bench, folder / "hosted") as hosted, \
             harness.Conversation(bench, folder / "native") as native, \
             harness.Conversation(bench, folder / "native") as native_again, \
             harness.Conversation(bench, folder / "plt") as plt, \
             harness.Conversation(bench, folder / "no-plt") as no_plt:
            hosted.await_target()

            def measure_beside(name):
                for manner in MANNERS:
                    for _ in range(3):
                        samples[manner][name].append(float(hosted.ask(manner)))
                        for variant, program in (("native", native), ("PLT", plt),
                                                 ("native again", native_again), ("-fno-plt", no_plt)):
                            samples[manner][variant].append(float(program.ask(manner)))

            measure_beside("hosted")
            hosted.ask("stand")
            patch(bench, folder, hosted, 2, "--no-wait")
            measure_beside("in transition")
            assert bench.command(bench.mend, "get", hosted.pid, "livepatch/step/transition").strip() == "1"
            hosted.ask("go on")
            bench.command(bench.mend, "wait", hosted.pid)
            measure_beside("patched once")
            for step in range(3, 12):
                assert patch(bench, folder, hosted, step) == "complete"
            measure_beside("patched ten times")
    for manner, of_manner in samples.items():
        table.add(manner, of_manner)
    return [table]
