"""mosquitto_fixes.py BUILD SOURCE: mosquitto's security fixes, live.

Clients publish and subscribe, and check every message, while each fix goes into the broker and out
again. In mosquitto's own client, which is linked with the library, a fix finds the library's units, where
it changes nothing but the broker's half. Exits 1 when anything is not as it should be.
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
OUTCOMES = {
    "CVE-2021-34434": "refused",  # struct mosquitto loses members
    "CVE-2023-3592": "applied",
    "CVE-2023-0809": "applied",
    "CVE-2023-28366": "applied",
}
checks = Checks()
stop = threading.Event()
messages = 0


def text(value):
    return len(value).to_bytes(2, "big") + value


class Connection:
    """MQTT 3.1.1, quality of service 0."""

    def __init__(self, port, name):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.stream = self.socket.makefile("rb")
        self.send(0x10, text(b"MQTT") + b"\4\2\0\0" + text(name))
        assert self.receive() == (0x20, b"\0\0")

    def send(self, kind, body):
        assert len(body) < 128
        self.socket.sendall(bytes([kind, len(body)]) + body)

    def receive(self):
        kind, size = self.stream.read(2)
        return kind, self.stream.read(size)


def work(port, number):
    """Publishes to a topic of its own, and hears it from the broker."""
    global messages
    topic = b"topic/%d" % number
    connection = Connection(port, b"client%d" % number)
    connection.send(0x82, b"\0\1" + text(topic) + b"\0")
    assert connection.receive() == (0x90, b"\0\1\0")
    turn = 0
    while not stop.is_set():
        turn += 1
        connection.send(0x30, text(topic) + b"%d" % turn)
        try:
            got = connection.receive()
        except (OSError, ValueError) as error:
            got = error
        if got != (0x30, text(topic) + b"%d" % turn):
            checks.fail("client %d: %r" % (number, got))
            return
        messages += 1


def start(port, folder):
    with open(folder + "/conf", "w") as file:
        file.write("listener %d 127.0.0.1\nallow_anonymous true\n" % port)
    with open(folder + "/log", "w") as log:
        server = subprocess.Popen([SOURCE + "/build/src/mosquitto", "-c", folder + "/conf"],
                                  stdout=log, stderr=log,
                                  env=dict(os.environ, MEND_OPTIONS="--log /dev/null"))
    for _ in range(200):
        try:
            Connection(port, b"probe")
            return server
        except OSError:
            time.sleep(0.05)
    sys.exit("mosquitto does not start; log in " + folder)


def try_fix(name, wanted, target):
    code, answer = apply(BUILD, target, ["%s/debian/patches/%s.patch" % (SOURCE, name)], name)
    if wanted == "refused":
        reasons = [refusal["message"] for refusal in answer.get("refusals", [])]
        checks.expect(code == 3 and any("struct mosquitto" in reason for reason in reasons),
                      "%s is refused for struct mosquitto: %d %s" % (name, code, answer))
        return row(name, answer, "refused: MEND-E0101")
    checks.expect(code == 0, "%s applies: %d %s" % (name, code, answer))
    checks.expect(disable(BUILD, target, name), name + " is disabled")
    return row(name, answer, "applied, disabled")


def try_library(port):
    """A fix is compared with the library's units in a client that is linked with it."""
    client = subprocess.Popen([SOURCE + "/build/client/mosquitto_sub", "-p", str(port), "-t", "x"],
                              env=dict(os.environ, MEND_OPTIONS="--log /dev/null"))
    try:
        time.sleep(1)
        name = "CVE-2023-0809"
        code, answer = apply(BUILD, str(client.pid),
                             ["%s/debian/patches/%s.patch" % (SOURCE, name)], name)
        checks.expect(code == 0 and answer.get("units_compiled") == 1 and not answer.get("units"),
                      "%s changes nothing in a client: %d %s" % (name, code, answer))
        return row(name + ", in mosquitto_sub", answer, "no code of this program")
    finally:
        client.terminate()
        client.wait(30)


def main():
    folder = tempfile.mkdtemp(prefix="mend-mosquitto-")
    os.environ["XDG_RUNTIME_DIR"] = folder
    port = free_port()
    server = start(port, folder)
    clients = [threading.Thread(target=work, args=(port, n)) for n in range(4)]
    with under_load(checks, [server], clients, stop):
        rows = [try_fix(name, wanted, str(server.pid)) for name, wanted in OUTCOMES.items()]
        rows.append(try_library(port))
    show_table(rows)
    print("\n%d messages, all right" % messages)
    checks.conclude(folder)


main()
