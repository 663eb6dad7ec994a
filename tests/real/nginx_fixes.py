"""nginx_fixes.py BUILD SOURCE: nginx's security fixes, live.

A master and its workers serve clients that keep their connections and check every answer. Each fix goes
into all of them by their name and out again; then all together, the server reloads its configuration,
and the workers that it forks then have the fixes too. Exits 1 when anything is not as it should be.
"""
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from live import Checks, apply, await_port, disable, free_port, row, run, show_table, under_load

BUILD, SOURCE = sys.argv[1], sys.argv[2]
PACKAGING = 5  # patches of the series that are no fixes
REFUSED = {
    "CVE-2026-40701": "MEND-E0101",  # a record of requests that are under way grows
    "FIX-HTTP2bomb": "MEND-E0010",  # adds a module, which the build puts into a table
}
# Concerns another width of machine word.
NO_CODE = {"CVE-2026-27784"}
OBSERVABLES = {"CVE-2026-42945": "rewrite", "CVE-2026-42946.2": "status_line"}
WORKERS = 2
PAGE = b"0123456789abcdef" * 1000
CONFIG = """
daemon off;
worker_processes %(workers)d;
pid %(folder)s/pid;
error_log %(folder)s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi; uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  server {
    listen 127.0.0.1:%(port)d;
    location / { root %(folder)s/html; }
    location /rewrite/ { rewrite ^/rewrite/(.*)$ /other?x=1; set $rest $1; return 200 "$rest"; }
    location /upstream { proxy_pass http://127.0.0.1:%(upstream)d; }
    location /files/ { dav_methods COPY; alias %(folder)s/html/; }
  }
}
"""
checks = Checks()
stop = threading.Event()
reloading = threading.Event()
requests = 0


def get(connection, path, method="GET", **headers):
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def get_old(port, path):
    """An answer without status line and headers, which nginx passes on as it is."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        with connection.makefile("rb") as answer:
            return answer.read()


def client(port, number):
    """One connection, kept as long as the server's worker lives."""
    global requests
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stop.is_set():
        try:
            got = get(connection, "/page") if number % 2 else get(connection, "/rewrite/abc")
        except (OSError, http.client.HTTPException) as error:
            if reloading.is_set():
                connection.close()
                continue
            got = error
        if got != ((200, PAGE) if number % 2 else (200, b"abc")):
            checks.fail("connection %d: %r" % (number, got))
            return
        requests += 1


def serve_in_pieces(listener):
    """Answers without a status line, whose beginning looks like one for a moment."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            connection.sendall(b"HT")
            time.sleep(0.1)
            connection.sendall(b"ML of old\n")


def observe(port):
    seen = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    _, rest = get(connection, "/rewrite/a+b")
    seen["rewrite"] = {b"a+b": "fixed", b"a%2": "vulnerable"}.get(rest, rest)
    connection.close()
    page = get_old(port, "/upstream")
    seen["status_line"] = {b"HTML of old\n": "fixed", b"ML of old\n": "vulnerable"}.get(page, page)
    return seen


def expect_observed(port, names, when):
    """Several times: any of the workers may answer."""
    fixed = {OBSERVABLES[name] for name in names if name in OBSERVABLES}
    wanted = {key: "fixed" if key in fixed else "vulnerable" for key in OBSERVABLES.values()}
    for _ in range(4 * WORKERS):
        seen = observe(port)
        checks.expect(seen == wanted, "%s: %s" % (when, seen))


def refuses_short_destination(port):
    """CVE-2026-27654, which ends an unfixed worker."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    status, _ = get(connection, "/files/page", "COPY", Destination="http://127.0.0.1/x")
    return status == 400


def fixes():
    with open(SOURCE + "/debian/patches/series") as series:
        names = [line.split()[0] for line in series if line.strip() and line[0] != "#"]
    return [name.removesuffix(".patch") for name in names[PACKAGING:]]


def path_of(name):
    return "%s/debian/patches/%s.patch" % (SOURCE, name)


def touched(name):
    with open(path_of(name), errors="replace") as diff:
        return set(re.findall(r"^\+\+\+ [^/]*/(\S+)", diff.read(), re.M))


def start(folder, port, upstream):
    os.mkdir(folder + "/html")
    with open(folder + "/html/page", "wb") as page:
        page.write(PAGE)
    with open(folder + "/nginx.conf", "w") as config:
        config.write(CONFIG % {"workers": WORKERS, "folder": folder, "port": port,
                               "upstream": upstream})
    # Workers of root are another user's processes.
    os.chmod(folder, 0o755)
    server = subprocess.Popen([SOURCE + "/objs/nginx", "-c", folder + "/nginx.conf"],
                              env=dict(os.environ, MEND_OPTIONS="--log " + folder + "/events"))
    if not await_port(port):
        sys.exit("nginx does not start")
    return server


def first_report(answer):
    return answer.get("targets", [answer])[0]


def try_fix(port, name, earlier):
    names = [name]
    code, answer = apply(BUILD, "nginx", [path_of(name)], name)
    if code == 3 and "MEND-E0006" in str(answer):
        names = [other for other in earlier if touched(other) & touched(name)] + [name]
        code, answer = apply(BUILD, "nginx", [path_of(other) for other in names], name)
    report = first_report(answer)
    if name in REFUSED:
        checks.expect(code == 3 and REFUSED[name] in str(answer), "%s: %d %s" % (name, code, answer))
        expect_observed(port, [], name + " refused")
        return row(name, report, "refused: " + REFUSED[name])
    checks.expect(code == 0, "%s applies: %d %s" % (name, code, answer))
    if name in NO_CODE:
        checks.expect(report.get("no_change"), name + " changes no code here")
        return row(name, report, "no code of this program")
    reached = len(answer.get("targets", [answer]))
    checks.expect(reached == 1 + WORKERS, "%s reaches %d processes" % (name, reached))
    expect_observed(port, names, name)
    checks.expect(disable(BUILD, "nginx", name), name + " is disabled")
    expect_observed(port, [], name + " disabled")
    also = " with " + ", ".join(names[:-1]) if len(names) > 1 else ""
    return row(name + also, report, "applied, disabled")


def children(server):
    return set(run("pgrep", "-P", str(server.pid)).stdout.split())


def reload(server):
    """New workers take over, the old ones end."""
    before = children(server)
    reloading.set()
    server.send_signal(signal.SIGHUP)
    for _ in range(400):
        now = children(server)
        if len(now) == WORKERS and not now & before:
            reloading.clear()
            return
        time.sleep(0.05)
    checks.fail("the workers do not end: %s, then %s" % (before, now))


def try_all(server, port, names):
    code, answer = apply(BUILD, "nginx", [path_of(name) for name in names], "all-fixes")
    checks.expect(code == 0, "all together: %d %s" % (code, answer))
    expect_observed(port, names, "all together")
    checks.expect(refuses_short_destination(port), "a destination that is too short")
    reload(server)
    expect_observed(port, names, "all together, new workers")
    checks.expect(disable(BUILD, "nginx", "all-fixes"), "all together are disabled")
    expect_observed(port, [], "all disabled")
    return row("all %d together" % len(names), first_report(answer),
               "applied, workers forked anew, disabled")


def main():
    folder = tempfile.mkdtemp(prefix="mend-nginx-")
    os.environ["XDG_RUNTIME_DIR"] = folder + "/run"
    os.mkdir(folder + "/run", 0o700)
    port = free_port()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve_in_pieces, args=(listener,), daemon=True).start()
    server = start(folder, port, listener.getsockname()[1])
    clients = [threading.Thread(target=client, args=(port, number)) for number in range(4)]
    rows = []
    with under_load(checks, [server], clients, stop):
        expect_observed(port, [], "unfixed")
        names = fixes()
        for number, name in enumerate(names):
            rows.append(try_fix(port, name, names[:number]))
            print(rows[-1], flush=True)
        together = [name for name in names if name not in REFUSED]
        rows.append(try_all(server, port, together))
    show_table(rows)
    print("\n%d requests meanwhile" % requests)
    checks.conclude(folder)


main()
