"""memcached_fixes.py BUILD SOURCE: memcached's security fixes, live.

A proxy and the server behind it, both built by `patchc cc`, serve clients that check every answer. What
the fixes change is observed at a second such pair: an unfixed proxy that meets the request mixes up
the answers of its other clients, natively too. Each fix goes into all four processes by their name
and out again; the one that changes the layout of requests in flight is refused. Exits 1 when anything
is not as it should be.
"""
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from live import Checks, apply, disable, free_port, row, show_table, under_load

BUILD, SOURCE = sys.argv[1], sys.argv[2]
PATCHES = SOURCE + "/debian/patches/"
FIXES = {
    "CVE-2026-47783": PATCHES + "0008-CVE-2026-47783-CVE-2026-47784.patch",
    "CVE-2023-46852": PATCHES + "0009-CVE-2023-46852.patch",
}
REFUSED = {"CVE-2023-46853": PATCHES + "CVE-2023-46853.patch"}
CONFIG = """
function mcp_config_pools(old)
  return mcp.pool({mcp.backend('server', '127.0.0.1', '%d')})
end
function mcp_config_routes(pool)
  mcp.attach(mcp.CMD_ANY_STORAGE, function(request) return pool(request) end)
end
"""
checks = Checks()
stop = threading.Event()
requests = 0


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 30)
    return s, s.makefile("rb")


def work(port, number):
    """One connection, kept for good."""
    global requests
    s, lines = connect(port)
    turn = 0
    while not stop.is_set():
        turn += 1
        key, value = b"key%d.%d" % (number, turn % 50), b"value %d" % turn
        # One request at a time: pipelined ones hang this version's proxy now and then, natively too.
        s.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        got = [lines.readline()]
        s.sendall(b"get %s\r\n" % key)
        got += [lines.readline() for _ in range(3)]
        wanted = [b"STORED\r\n", b"VALUE %s 0 %d\r\n" % (key, len(value)), value + b"\r\n", b"END\r\n"]
        if got != wanted:
            checks.fail("connection %d: %r" % (number, got))
            return
        requests += 2


def observe(port):
    """CVE-2023-46852: the fixed proxy refuses a request with that many blanks before its keys."""
    s, lines = connect(port)
    s.sendall(b"get" + b" " * 25 + b"a b\r\n")
    reply = lines.readline()
    return "fixed" if b"malformed" in reply else "vulnerable" if reply == b"END\r\n" else repr(reply)


def start(*arguments):
    server = subprocess.Popen([SOURCE + "/memcached", "-u", "root", "-t", "4", *arguments],
                              env=dict(os.environ, MEND_OPTIONS="--log /dev/null"))
    port = int(arguments[arguments.index("-p") + 1])
    for _ in range(200):
        try:
            connect(port)
            return server
        except OSError:
            time.sleep(0.05)
    sys.exit("memcached does not start")


def start_pair(folder):
    """A server and a proxy before it: their ports."""
    port, server_port = free_port(), free_port()
    config = "%s/proxy.%d.lua" % (folder, port)
    with open(config, "w") as file:
        file.write(CONFIG % server_port)
    servers = [start("-p", str(server_port))]
    servers.append(start("-p", str(port), "-o", "proxy_config=" + config))
    return servers, port, server_port


def try_fix(name, path, port):
    rows = []
    code, answer = apply(BUILD, "memcached", [path], name)
    checks.expect(code == 0, "%s applies: %d %s" % (name, code, answer))
    reports = answer.get("targets", [])
    checks.expect(len(reports) == 4, name + " goes into proxies and servers")
    wanted = "fixed" if name == "CVE-2023-46852" else "vulnerable"
    seen = observe(port)
    checks.expect(seen == wanted, "%s: observed %s" % (name, seen))
    rows.append(row(name, (reports or [{}])[0], "applied, disabled (four processes)"))
    checks.expect(disable(BUILD, "memcached", name), name + " is disabled")
    seen = observe(port)
    checks.expect(seen == "vulnerable", "%s disabled: observed %s" % (name, seen))
    return rows


def main():
    work_folder = tempfile.mkdtemp(prefix="mend-memcached-")
    os.environ["XDG_RUNTIME_DIR"] = work_folder
    servers, client_port, server_port = start_pair(work_folder)
    observed, port, _ = start_pair(work_folder)
    servers += observed
    clients = [threading.Thread(target=work, args=(p, n))
               for n, p in enumerate([client_port] * 4 + [server_port] * 4)]
    rows = []
    with under_load(checks, servers, clients, stop, exit_codes=(0, -15)):
        checks.expect(observe(port) == "vulnerable", "unfixed: " + observe(port))
        for name, path in FIXES.items():
            rows += try_fix(name, path, port)
        for name, path in REFUSED.items():
            code, answer = apply(BUILD, str(servers[1].pid), [path], name)
            reasons = [refusal["message"] for refusal in answer.get("refusals", [])]
            checks.expect(code == 3 and any("mcp_parser_s" in reason for reason in reasons),
                          "%s is refused for mcp_parser_s: %s" % (name, answer))
            rows.append(row(name, answer, "refused: MEND-E0101"))
    print("requests=%d" % requests)
    checks.expect(requests > 1000, "clients were served")
    show_table(rows)
    checks.conclude(work_folder)


main()
