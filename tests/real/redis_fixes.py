"""redis_fixes.py BUILD SOURCE: every security fix of Debian's redis, live.

SOURCE: the source, built by `patchc cc` without the fixes. A server and a replica run under load from
clients that check every answer (redis_clients.py) and from redis-benchmark. Each fix is applied to the
server alone and disabled; then all that can be applied go in as one cumulative patch, into both
processes by their name, and out again. Prints the table of docs/real_patches.md; exits 1 when anything
is not as it should be.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from live import Checks, apply, await_port, disable, free_port, row, run, show_table

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD, SOURCE = sys.argv[1], sys.argv[2]
PACKAGING = 5  # patches of the series that are no fixes
REFUSED = "CVE-2025-46818"
# Fixes without code in this program, by what must come of them.
NO_CODE = {"CVE-2026-81934"}
OBSERVABLES = {
    "0001-Apply-security-fixes": {"acl_selector", "keys_nested"},
    "CVE-2024-51741": {"acl_selector", "acl_empty"},
    "CVE-2025-67733": {"reply_injection"},
}
checks = Checks()
expect = checks.expect


def fixes():
    with open(SOURCE + "/debian/patches/series") as series:
        names = [line.split()[0] for line in series if line.strip() and line[0] != "#"]
    return [SOURCE + "/debian/patches/" + name for name in names[PACKAGING:]]


def short(path):
    cve = re.search(r"CVE-\d+-\d+", path)
    return cve.group() if cve else os.path.basename(path).removesuffix(".patch")


def touched(path):
    with open(path, errors="replace") as diff:
        return {line.split()[1].split("/", 1)[1] for line in diff if line.startswith("+++ ")}


def start_server(work, name, port, *more):
    os.mkdir(work + "/" + name)
    server = subprocess.Popen(
        [SOURCE + "/src/redis-server", "--port", str(port), "--save", "", "--dir", work + "/" + name,
         "--enable-debug-command", "no", *more],
        stdout=open(work + "/" + name + ".log", "w"), stderr=subprocess.STDOUT,
        env=dict(os.environ, MEND_OPTIONS="--log " + work + "/" + name + ".events"))
    if not await_port(port):
        sys.exit("redis-server does not start: " + open(work + "/" + name + ".log").read())
    return server


# A replica refuses what the other check writes.
REPLICA_CHECKS = ("acl_selector", "acl_empty", "reply_injection", "lua_metatable")


def observe(port, *checks):
    done = run(sys.executable, HERE + "/redis_observe.py", str(port), *checks)
    return dict(line.split()[:2] for line in done.stdout.splitlines())


def wanted_observables(paths):
    fixed = set()
    for key, checks in OBSERVABLES.items():
        if any(key in path for path in paths):
            fixed |= checks
    return {check: "fixed" if check in fixed else "vulnerable"
            for check in ("acl_selector", "acl_empty", "keys_nested", "reply_injection",
                          "lua_metatable")}


def codes(report):
    return [refusal["code"] for refusal in report.get("refusals", [])]


def try_alone(port, pid, path, earlier):
    """One fix in and out. With those before it that its hunks need, when it does not fit alone."""
    name, paths = short(path), [path]
    code, report = apply(BUILD, str(pid), paths, name)
    if code == 3 and "MEND-E0006" in json.dumps(report):
        paths = [p for p in earlier if touched(p) & touched(path)] + [path]
        code, report = apply(BUILD, str(pid), paths, name)
    if name == REFUSED:
        reasons = [r["message"] for r in report.get("refusals", [])]
        expect(code == 3 and any("redisServer" in r for r in reasons),
               "%s is refused for redisServer's layout: %s" % (name, report))
        expect(observe(port) == wanted_observables([]), name + ": refused, yet something changed")
        return row(name, report, "refused: " + ", ".join(dict.fromkeys(codes(report))))
    expect(code == 0, "%s applies: %d %s" % (name, code, report))
    if name in NO_CODE:
        expect(report.get("no_change"), name + " changes no code of this program")
        return row(name, report, "no code of this program")
    expect(observe(port) == wanted_observables(paths), "%s: observed %s" % (name, observe(port)))
    expect(disable(BUILD, str(pid), name), name + " is disabled")
    expect(observe(port) == wanted_observables([]), name + ": disabled, yet still observed")
    also = " with " + ", ".join(short(p) for p in paths[:-1]) if len(paths) > 1 else ""
    return row(name + also, report, "applied, disabled")


def expect_observed(ports, paths, when):
    """On the server and on its replica."""
    port, replica_port = ports
    wanted = wanted_observables(paths)
    seen = observe(port)
    expect(seen == wanted, "%s: %s" % (when, seen))
    seen = observe(replica_port, *REPLICA_CHECKS)
    expect(seen == {check: wanted[check] for check in REPLICA_CHECKS},
           "%s, on the replica: %s" % (when, seen))


def try_all(ports, paths):
    """One cumulative patch into every process of that name."""
    code, answer = apply(BUILD, "redis-server", paths, "all-fixes")
    expect(code == 0, "all together: %d %s" % (code, answer))
    # A save's child may be among them, and end before its turn.
    reports = [each for each in answer.get("targets", [answer]) if each.get("outcome") != "ended"]
    expect(len(reports) == 2, "server and replica are patched: %s" % answer)
    expect_observed(ports, paths, "all together")
    for port in ports:
        expect(observe(port, "lua_unpack") == {"lua_unpack": "fixed"}, "all together: lua_unpack")
    result = row("all %d together" % len(paths), reports[0], "applied, disabled (both processes)")
    time.sleep(2)
    expect(disable(BUILD, "redis-server", "all-fixes"), "all together are disabled")
    expect_observed(ports, [], "all disabled")
    return result


def main():
    work = tempfile.mkdtemp(prefix="mend-redis-")
    os.environ["XDG_RUNTIME_DIR"] = work
    port, replica_port = free_port(), free_port()
    server = start_server(work, "server", port)
    replica = start_server(work, "replica", replica_port, "--replicaof", "127.0.0.1 %d" % port)
    clients = subprocess.Popen([sys.executable, HERE + "/redis_clients.py", str(port),
                                str(replica_port)], stdout=subprocess.PIPE, text=True)
    benchmark = subprocess.Popen(
        [SOURCE + "/src/redis-benchmark", "-p", str(port), "-c", "10", "-l", "-q", "-t",
         "set,get,lpush,lpop,zadd"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    rows = []
    try:
        expect(observe(port) == wanted_observables([]), "unfixed: %s" % observe(port))
        all_fixes = fixes()
        for number, path in enumerate(all_fixes):
            rows.append(try_alone(port, server.pid, path, all_fixes[:number]))
            print(rows[-1], flush=True)
        together = [p for p in all_fixes if short(p) != REFUSED]
        rows.append(try_all([port, replica_port], together))
        print(rows[-1], flush=True)
    finally:
        expect(benchmark.poll() is None, "redis-benchmark ended by itself")
        benchmark.kill()
        clients.send_signal(signal.SIGTERM)
        said = clients.communicate(timeout=120)[0]
        print(said, end="")
        expect(clients.returncode == 0, "clients saw something wrong")
        for process in (server, replica):
            expect(process.poll() is None, "a server ended by itself")
            process.terminate()
            expect(process.wait(60) == 0, "a server's exit code")
    show_table(rows)
    checks.conclude(work)


main()
