"""The second around an apply against the same second without one: the sample service under open load."""
import signal
import socket
import subprocess
import time

import harness

TITLE = "Tail latency at the moment of a patch: the sample service, open-loop load"
QUIET, EVENT, LENGTH = 2.0, 4.5, 6.0  # seconds since the load's start; each window is one second long
PERCENTILES = {"p50": 0.50, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class Service:
    def __init__(self, bench, program):
        self.bench, self.program = bench, program
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, str(self.port)], env=self.bench.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.002)
        raise RuntimeError("the service does not answer")

    def stop(self):
        self.process.kill()
        self.process.wait()


def percentiles(samples, begin):
    window = sorted(took for due, took in samples if begin <= due / 1e6 < begin + 1)
    return {name: window[min(len(window) - 1, int(part * len(window)))] / 1e3
            for name, part in PERCENTILES.items()}


def observe(bench, load, service, rate, event):
    """Milliseconds per percentile, of the quiet second and of the one in whose middle `event` is."""
    process = subprocess.Popen([load, str(service.port), str(rate), str(LENGTH)], text=True,
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(EVENT + 0.5)
    event()
    samples = [tuple(map(int, line.split())) for line in process.stdout]
    process.wait()
    return percentiles(samples, QUIET), percentiles(samples, EVENT)


def build(bench):
    folder = bench.folder("tail")
    sources = sorted((harness.ROOT / "samples" / "kv" / "service").glob("*.cc"))
    bench.command("clang++-22", "-std=c++20", "-O2", "-pthread", "-o", folder / "open_load",
                  harness.HERE / "tail" / "open_load.cc")
    bench.command(bench.patchc, "c++", "-std=c++20", "-O2", "-pthread", "-o", folder / "kv", *sources)
    patch = harness.ROOT / "samples" / "kv" / "patches" / "format.patch"
    bench.command(bench.patchc, "build", "--name", "format", "--hold", "kv::AnswerGet", "-o",
                  folder / "format.mendpatch", "--base", folder / "kv", "--diff", patch)
    return folder


def events(bench, folder, service):
    def apply():
        report = bench.apply(service, folder / "format.mendpatch")
        assert report["outcome"] == "complete", report

    def compile_and_apply():
        patch = harness.ROOT / "samples" / "kv" / "patches" / "format.patch"
        bench.command("nice", "-n", "19", bench.patchc, "apply", "--hold", "kv::AnswerGet", "--name", "format",
                      "--diff", patch, "--to", service.pid)

    def stop_the_world():
        service.process.send_signal(signal.SIGSTOP)
        while "\nState:\tT" not in open(f"/proc/{service.pid}/status", encoding="utf-8").read():
            pass
        service.process.send_signal(signal.SIGCONT)

    def restart():
        service.stop()
        service.start()

    return {"nothing (the noise)": lambda: None, "a ready module": apply, "compiled at low priority": compile_and_apply,
            "all threads stopped (SIGSTOP, SIGCONT)": stop_the_world, "restart": restart}


def run(bench):
    folder = build(bench)
    service = Service(bench, folder / "kv")
    try:
        capacity = int(bench.command(folder / "open_load", service.port, 0, 2))
    finally:
        service.stop()
    tables = []
    for share in (0.5, 0.8):
        table = harness.Table(f"at {100 * share:.0f} % of capacity ({capacity} requests a second)", "ms",
                              list(PERCENTILES), ratios=False,
                              goal="p99.9 of a ready module's second at most 1.1 times the quiet one's")
        rows = {}
        for turn in range(bench.rounds(10, 1)):
            service = Service(bench, folder / "kv")
            try:
                # Each comes first in turn: a service that has run for longer holds more.
                kinds = list(events(bench, folder, service).items())
                for label, event in kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]:
                    quiet, eventful = observe(bench, folder / "open_load", service, share * capacity, event)
                    for row, values in ((f"{label}: the second before", quiet), (label, eventful)):
                        samples = rows.setdefault(row, {name: [] for name in PERCENTILES})
                        for name, value in values.items():
                            samples[name].append(value)
                    if label in ("a ready module", "compiled at low priority"):
                        bench.command(bench.mend, "disable", service.pid, "format")
                        bench.command(bench.mend, "remove", service.pid, "format")
            finally:
                service.stop()
        for row, samples in rows.items():
            table.add(row, samples)
        tables.append(table)
    return tables
