"""What the scripts that patch real programs share: checks, applying and disabling, rows of the table."""
import contextlib
import json
import re
import socket
import subprocess
import sys
import time


class Checks:
    def __init__(self):
        self.failures = []

    def fail(self, what):
        self.failures.append(what)
        print("FAILED: " + what, flush=True)

    def expect(self, condition, what):
        if not condition:
            self.fail(what)

    def conclude(self, folder):
        if self.failures:
            sys.exit("%d failures; logs in %s" % (len(self.failures), folder))


@contextlib.contextmanager
def under_load(checks, servers, clients, stop, exit_codes=(0,)):
    """The client threads work during the block, until `stop` is set at its end. None of them and none of
    the servers may end before; the servers then end with one of the codes when they are told to."""
    try:
        for client in clients:
            client.start()
        yield
        checks.expect(all(client.is_alive() for client in clients), "clients go on")
    finally:
        stop.set()
        for client in clients:
            client.join(30)
        for server in servers:
            checks.expect(server.poll() is None, "a server ended by itself")
            server.terminate()
            checks.expect(server.wait(30) in exit_codes, "exit code of a server: %s" % server.returncode)


def run(*command, timeout=1200):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_port(port):
    """Whether the server there takes connections within ten seconds."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def apply(build, target, diffs, name):
    command = [build + "/bin/patchc", "apply", "--json", "--to", target, "--name", name]
    for diff in diffs:
        command += ["--diff", diff]
    done = run(*command)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, {"error": done.stdout + done.stderr}


def disable(build, target, name):
    return run(build + "/bin/mend", "disable", target, name).returncode == 0


def milliseconds(nanoseconds):
    return "%.1f" % (nanoseconds / 1e6) if nanoseconds < 1e8 else "%.0f" % (nanoseconds / 1e6)


def is_own_change(function):
    return function["reason"] == "changed" and not re.match("follows|compiled", function["detail"])


def shorten(names):
    return names if len(names) < 15 else names[:5] + ["and %d more" % (len(names) - 5)]


def row(name, report, result):
    """A line of the table, from the report of an apply."""
    functions = [f for unit in report.get("units", []) for f in unit["functions"]]
    own = [f for f in functions if is_own_change(f)]
    changed = shorten([f["display"] for f in own])
    follow = shorten([f["display"] for f in functions if f not in own])
    added = [f for unit in report.get("units", []) for f in unit["new_functions"]]
    # Refused ones have their times outside of the phases.
    times = {**report, **report.get("phases", {})}
    build = times.get("compile_ns", 0) + times.get("compare_ns", 0)
    switch = times.get("transition_ns", 0)
    cells = [name, ", ".join(changed + ["%s (new)" % f for f in added]), ", ".join(follow),
             "%d" % report.get("units_compiled", 0),
             milliseconds(build) if build else "", milliseconds(switch) if switch else "", result]
    return "| " + " | ".join(cells) + " |"


def show_table(rows):
    print("\n| fix | functions changed | functions that follow | units compiled | build ms | "
          "transition ms | result |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))
