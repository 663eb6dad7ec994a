"""The longest gap that a spinning thread sees while a patch goes in and out, against the same machine and
the same requests without a patch."""
import http.client
import shutil
import socket
import time

import harness

LENGTH = 0.01  # seconds; the threads of this program switch in less than one millisecond
TITLE = "Gaps: how long a transition stops a running thread"
GOAL = "99.9th percentile without the machine's own: 50 us plus 0.2 us a frame"


class Control(http.client.HTTPConnection):
    """A connection to a control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        """The function that takes the answer."""
        self.request(method, path, body=body)

        def answer():
            response = self.getresponse()
            text = response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {text}")

        return answer

    def post(self, path, body=b""):
        return self.ask("POST", path, body)

    def get(self, path):
        return self.ask("GET", path)


def window(target, request):
    """Microseconds: the longest gap of the next LENGTH seconds, at whose beginning `request` is sent. The
    windows with a transition and those without are equally long: a longer one has longer gaps."""
    target.ask("window")
    end = time.monotonic() + LENGTH
    answer = request()
    time.sleep(max(0, end - time.monotonic()))
    gap = int(target.ask("window")) / 1e3
    answer()
    return gap


def measure(bench, program, module, frames, clock, rounds):
    samples = {"no patch": [], "patched": []}
    with harness.Conversation(bench, program, frames, clock) as target:
        if target.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the program is not ready")
        target.await_target()
        control = Control(f"{bench.environment['XDG_RUNTIME_DIR']}/mend/{target.pid}.sock")
        control.post("/patches", module.read_bytes())()
        control.post("/patches/fix/disable")()
        for _ in range(rounds):
            for verb in ("enable", "disable"):
                # As many requests and answers, without a transition.
                samples["no patch"].append(window(target, lambda: control.get("/threads")))
                samples["patched"].append(window(target, lambda: control.post(f"/patches/fix/{verb}")))
    return samples


def run(bench):
    folder = bench.folder("gaps")
    for file in [harness.HERE / "gaps" / "gaps.cc",
                 *[harness.HERE / "transitions" / name for name in ("version.cc", "version.h")]]:
        shutil.copy(file, folder)
    (folder / "edited").mkdir()
    (folder / "edited" / "version.cc").write_text(
        (folder / "version.cc").read_text().replace("return 1", "return 2"))
    program, module = folder / "program", folder / "fix.mendpatch"
    bench.command(bench.patchc, "c++", "-O2", "-pthread", "-o", program, folder / "gaps.cc",
                  folder / "version.cc")
    bench.command(bench.patchc, "build", "--name", "fix", "-o", module, "--base", program,
                  folder / "edited" / "version.cc")
    tables = []
    for clock, title in (("wall", "by the clock"),
                         ("cpu", "by the thread's own processor time, without preemption")):
        table = harness.Table(f"longest gap, {title}", "us", ["no patch", "patched"],
                              summary="p99.9", ratios=False, goal=GOAL)
        for frames in (1, 10, 100, 1000):
            table.add(f"{frames} frames",
                      measure(bench, program, module, frames, clock, bench.rounds(600, 100)))
        tables.append(table)
    return tables
