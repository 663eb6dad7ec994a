"""dnsmasq_fixes.py BUILD SOURCE: dnsmasq's security fixes, live.

The server closes every descriptor that it does not know when it starts, and is a target all the same.
Clients ask it and check every answer while each fix goes in and out again. Exits 1 when anything is not
as it should be.
"""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from live import Checks, apply, disable, free_port, row, show_table, under_load

BUILD, SOURCE = sys.argv[1], sys.argv[2]
# What becomes of each fix: this configuration has no DNSSEC, which two of them are about.
OUTCOMES = {
    "CVE-2026-2291": "refused",  # union bigname grows
    "CVE-2026-4890": "no code",
    "CVE-2026-4891": "no code",
    "CVE-2026-4892": "applied",
    "CVE-2026-4893": "applied",
    "CVE-2026-5172": "applied",
}
ADDRESS = "10.1.2.3"
checks = Checks()
stop = threading.Event()
answers = 0


def ask(s, number):
    """The address that the server gives for a name of its domain."""
    name = b"\3abc\7example\4test\0"
    s.send(struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1))
    reply = s.recv(512)
    if struct.unpack(">H", reply[:2])[0] != number:
        return "an answer to another question"
    return socket.inet_ntoa(reply[-4:])


def client(port):
    global answers
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(30)
        s.connect(("127.0.0.1", port))
        number = 0
        while not stop.is_set():
            number = (number + 1) % 65536
            try:
                got = ask(s, number)
            except OSError as error:
                got = error
            if got != ADDRESS:
                checks.fail("client: %s" % got)
                return
            answers += 1


def start(port, folder):
    arguments = ["-k", "-p", str(port), "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                 "--address=/example.test/" + ADDRESS, "--pid-file=" + folder + "/pid"]
    if os.getuid() == 0:
        arguments.append("--user=root")
    server = subprocess.Popen([SOURCE + "/src/dnsmasq", *arguments],
                              env=dict(os.environ, MEND_OPTIONS="--log /dev/null"))
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.connect(("127.0.0.1", port))
            try:
                if ask(s, 1) == ADDRESS:
                    return server
            except OSError:
                time.sleep(0.05)
    sys.exit("dnsmasq does not start")


def try_fix(name, wanted, target):
    code, answer = apply(BUILD, target, ["%s/debian/patches/%s.patch" % (SOURCE, name)], name)
    if wanted == "refused":
        checks.expect(code == 3 and answer.get("refusals"), "%s is refused: %d %s" % (name, code, answer))
        return row(name, answer, "refused: %s" % answer.get("refusals", [{}])[0].get("code"))
    checks.expect(code == 0, "%s applies: %d %s" % (name, code, answer))
    if wanted == "no code":
        checks.expect(not answer.get("units"), name + " changes nothing here")
        return row(name, answer, "no code of this program")
    checks.expect(disable(BUILD, target, name), name + " is disabled")
    return row(name, answer, "applied, disabled")


def main():
    folder = tempfile.mkdtemp(prefix="mend-dnsmasq-")
    os.environ["XDG_RUNTIME_DIR"] = folder
    port = free_port()
    server = start(port, folder)
    clients = [threading.Thread(target=client, args=(port,)) for _ in range(4)]
    with under_load(checks, [server], clients, stop):
        rows = [try_fix(name, wanted, str(server.pid)) for name, wanted in OUTCOMES.items()]
    show_table(rows)
    print("\n%d answers, all right" % answers)
    checks.conclude(folder)


main()
