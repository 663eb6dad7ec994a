"""Servers: the CPU time of a fixed number of requests, and the rate that clients see."""
import os
import pathlib
import re
import socket
import subprocess
import time

import harness
import programs

TITLE = "Steady state: servers, hosted and fully patchable, against native clang-22 -O2"
GOAL = "geometric mean at most 1.01, none above 1.03"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A server process that answers at a port."""

    def __init__(self, bench, words):
        self.port = free_port()
        self.process = subprocess.Popen([str(w).replace("PORT", str(self.port)) for w in words],
                                        env=bench.environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{words[0]} does not answer") from None
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


REDIS_TESTS = {"SET": ["-t", "set"], "GET": ["-t", "get"], "LRANGE 100": ["-t", "lrange_100"],
               "SET, pipelined": ["-t", "set", "-P", "16"], "GET, pipelined": ["-t", "get", "-P", "16"],
               "INCR, pipelined": ["-t", "incr", "-P", "16"], "ZADD, pipelined": ["-t", "zadd", "-P", "16"]}


def measure_redis(bench, tables):
    servers = {"native": harness.build_redis(bench, "native", "clang-22"),
               "hosted": harness.build_redis(bench, "hosted", f"{bench.patchc} cc")}
    client = servers["native"].parent / "redis-benchmark"
    requests = {False: 150000, True: 1500000}

    def once(variant, options):
        program = servers["hosted" if variant == "hosted" else "native"]
        with Server(bench, [program, "--port", "PORT", "--save", "", "--appendonly", "no"]) as server:
            before = cpu_seconds(server.process.pid)
            count = requests["-P" in options] // (10 if bench.quick else 1)
            text = bench.command(client, "-p", server.port, "-n", count, "-r", "10000", "--csv", *options)
            rate = float(re.findall(r'"[^"]*","([0-9.]+)"', text.strip().splitlines()[-1])[0])
            return 1e3 * (cpu_seconds(server.process.pid) - before), rate

    for name, options in REDIS_TESTS.items():
        add(bench, tables, f"redis {name}", lambda variant, o=options: once(variant, o))


def measure_service(bench, tables):
    """The sample service, by requests of benchmarks/tail/open_load as fast as they go."""
    folder = bench.folder("servers")
    bench.command("clang++-22", "-std=c++20", "-O2", "-pthread", "-o", folder / "load",
                  harness.HERE / "tail" / "open_load.cc")
    service = programs.sample_service(bench, folder)

    def once(variant):
        program = service.words["hosted" if variant == "hosted" else "native"][0]
        with Server(bench, [program, "PORT"]) as server:
            before = cpu_seconds(server.process.pid)
            rate = float(bench.command(folder / "load", server.port, 0, 1 if bench.quick else 3, 8))
            used = cpu_seconds(server.process.pid) - before
            # For 100 000 requests: how many there were differs from run to run.
            return 1e3 * used * 1e5 / (rate * (1 if bench.quick else 3)), rate

    add(bench, tables, "sample service (kv)", once)


def add(bench, tables, label, once):
    variants = ["native", "native again", "hosted"]
    taken = harness.interleave(bench.rounds(7, 2), {v: (lambda v=v: once(v)) for v in variants})
    for table, part in zip(tables, (0, 1)):
        table.add(label, {v: [sample[part] for sample in taken[v]] for v in variants})


def run(bench):
    variants = ["native", "native again", "hosted"]
    cpu = harness.Table("server", "CPU ms", variants, summary="least", control="native again", goal=GOAL)
    rate = harness.Table("server, as its clients see it", "requests/s", variants, control="native again")
    measure_service(bench, [cpu, rate])
    try:
        measure_redis(bench, [cpu, rate])
    except harness.Skipped as reason:
        cpu.notes.append(f"redis skipped: {reason}")
    return [cpu, rate]
