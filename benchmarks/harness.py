"""What the benchmarks share: samples and what can be said of them, processes, programs to measure.

A benchmark is a module with TITLE and run(bench) -> list of Table. It measures its variants in turns
(interleave), so that the machine's moods meet all of them, and names its baseline first.
"""
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BOOTSTRAP_ROUNDS = 500
# Two runs of the same thing may differ by this much before the machine counts as too noisy.
NOISE_MAX = 0.03


class Skipped(Exception):
    """Says why a benchmark cannot run here."""


class Compilers:
    """The words that compile C and C++."""

    def __init__(self, c, cxx):
        self.c, self.cxx = c, cxx


NATIVE = Compilers(["clang-22"], ["clang++-22"])


class Table:
    """Rows of samples per variant. The first variant is the baseline of the ratios.

    `summary`: "least" for CPU times, whose errors only add; "median" for latencies, "p99.9" for the
    longest of them. `control` names a variant that is the baseline measured again; how far it is off
    is the noise.
    """

    def __init__(self, title, unit, variants, summary="median", control=None, goal="", ratios=True):
        self.title, self.unit, self.variants = title, unit, variants
        self.summary, self.control, self.goal, self.ratios = summary, control, goal, ratios
        self.rows = []
        self.notes = []

    def add(self, label, samples):
        self.rows.append((label, samples))

    def value(self, values):
        if self.summary == "p99.9":
            return sorted(values)[min(len(values) - 1, int(len(values) * 0.999))]
        return min(values) if self.summary == "least" else statistics.median(values)

    def ratio(self, samples, variant):
        return self.value(samples[variant]) / self.value(samples[self.variants[0]])

    def interval(self, samples, variant):
        """95 % confidence interval of the ratio of medians, by resampling."""
        generator = random.Random(1)
        base, other = samples[self.variants[0]], samples[variant]
        ratios = sorted(
            statistics.median(generator.choices(other, k=len(other))) /
            statistics.median(generator.choices(base, k=len(base)))
            for _ in range(BOOTSTRAP_ROUNDS))
        return ratios[int(0.025 * len(ratios))], ratios[int(0.975 * len(ratios)) - 1]

    def geometric_mean(self, variant):
        return statistics.geometric_mean(self.ratio(samples, variant) for _, samples in self.rows)

    def noise(self):
        """How far the control is off in the worst row; None without a control."""
        if self.control is None or not self.rows:
            return None
        return max(abs(self.ratio(samples, self.control) - 1) for _, samples in self.rows)

    def is_too_noisy(self):
        noise = self.noise()
        return noise is not None and noise > NOISE_MAX


class Bench:
    """Where things are, and how long to measure."""

    def __init__(self, build, quick):
        self.build, self.quick = pathlib.Path(build).resolve(), quick
        self.patchc = str(self.build / "bin" / "patchc")
        self.mend = str(self.build / "bin" / "mend")
        self.work = self.build / "bench"
        self.work.mkdir(exist_ok=True)
        run = self.work / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(run), NO_COLOR="1")
        self.environment.pop("MEND_OPTIONS", None)

    def hosted(self, left_out=()):
        """patchc's compilers; `left_out`: parts of being patchable to do without."""
        options = [word for part in left_out for word in ("-mllvm", f"-mend-without={part}")]
        return Compilers([self.patchc, "cc", *options], [self.patchc, "c++", *options])

    def rounds(self, full, quick):
        return quick if self.quick else full

    def folder(self, name):
        """A fresh folder for a benchmark's files."""
        path = self.work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def command(self, *words, codes=(0,), **options):
        """Runs a command that must end with one of the codes; if it does not, the end of its output is part
        of the error."""
        done = subprocess.run([str(word) for word in words], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
        if done.returncode not in codes:
            raise RuntimeError(f"{words}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def timed(self, *words, environment=None, cwd=None):
        """Runs a command; its wall and its CPU time, in seconds."""
        begin = time.perf_counter()
        process = subprocess.Popen([str(word) for word in words], cwd=cwd,
                                   env=environment or self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{words}: exit {process.returncode}")
        return wall, usage.ru_utime + usage.ru_stime

    def apply(self, target, *inputs):
        """patchc apply; the report, with the command's own wall and CPU time added."""
        begin, before = time.perf_counter(), os.times()
        # 5: the transition goes on, as --no-wait asks for.
        text = self.command(self.patchc, "apply", "--json", *inputs, "--to", target.pid, codes=(0, 5))
        after = os.times()
        report = json.loads(text)
        report["wall_s"] = time.perf_counter() - begin
        report["cpu_s"] = (after.children_user - before.children_user +
                           after.children_system - before.children_system)
        return report


class Conversation:
    """A program that answers each line of its standard input with one line."""

    def __init__(self, bench, *words):
        self.process = subprocess.Popen([str(word) for word in words], env=bench.environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.pid = self.process.pid
        self.bench = bench

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"no answer to '{line}'")
        return answer

    @property
    def control_socket(self):
        return pathlib.Path(self.bench.environment["XDG_RUNTIME_DIR"], "mend", f"{self.pid}.sock")

    def request(self, method, path, body=None):
        """One request to the control socket, without a command's start; an answer that is an error raises."""
        connection = http.client.HTTPConnection("mend")
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.control_socket))
            connection.request(method, path, body)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {text}")
        return text

    def await_target(self):
        """Waits for the control socket."""
        deadline = time.monotonic() + 20
        while not self.control_socket.exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("the program did not become a target")
            time.sleep(0.01)


def sizes_mb(pid):
    """What a process has resident and mapped."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        fields = dict(line.split(":", 1) for line in status)
    return [int(fields[name].split()[0]) / 1e3 for name in ("VmRSS", "VmSize")]


def interleave(rounds, variants):
    """variants: name to a function that measures once. Samples by name, taken in turns."""
    samples = {name: [] for name in variants}
    for _ in range(rounds):
        for name, measure in variants.items():
            samples[name].append(measure())
    return samples


def debian_source(bench, package, patches=0):
    """Debian's source of a package with the first of its patches, fetched once; Skipped where it cannot
    be."""
    source = bench.work / "sources" / package
    if not (source / "debian" / "control").exists():
        fetched = subprocess.run([ROOT / "tests/integration/fetch_source.sh", package, source,
                                  str(patches)],
                                 text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if fetched.returncode != 0:
            raise Skipped(fetched.stdout.strip())
    return source


def build_lua(bench, name, compiler):
    """Lua built by its own Makefile, unless a build newer than patchc is there."""
    folder = bench.work / f"lua-{name}"
    program = folder / "src" / "lua"
    if program.exists() and program.stat().st_mtime > os.stat(bench.patchc).st_mtime:
        return program
    source = debian_source(bench, "lua5.4")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    bench.command("make", "-s", "-C", folder / "src", "-j", os.cpu_count(), "a", "lua",
                  f"CC={compiler}", "SYSCFLAGS=-DLUA_USE_LINUX", "SYSLIBS=-Wl,-E -ldl")
    return program


def build_redis(bench, variant, compiler):
    """redis-server, in the same way."""
    folder = bench.work / "workloads" / "redis" / variant
    program = folder / "src" / "redis-server"
    if program.exists() and program.stat().st_mtime > os.stat(bench.patchc).st_mtime:
        return program
    source = debian_source(bench, "redis", 5)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, folder)
    bench.command("make", "-s", "-C", folder / "src", "-j", os.cpu_count(), f"CC={compiler}", "MALLOC=libc",
                  "BUILD_TLS=no", "USE_SYSTEMD=no", "OPTIMIZATION=-O2", "redis-server", "redis-benchmark")
    return program
