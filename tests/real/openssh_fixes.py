"""openssh_fixes.py BUILD SOURCE: OpenSSH's fixes, live, in the listener and in sessions.

Clients keep sessions and check every answer, others log in all the time: each login makes the server
execute itself, and a child of it confine itself (seccomp: whoever makes another system call is killed).
What is persisted is in the connections that come later. Exits 1 when anything is not as it should be.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

from live import Checks, apply, await_port, disable, free_port, row, run, show_table

BUILD, SOURCE = sys.argv[1], sys.argv[2]
FIXES = ["CVE-2023-28531", "CVE-2023-48795", "Disable-async-signal-unsafe-code-from-the-sshsigdie-",
         "sntrup761x25519-sha512", "incorrect-return-values", "fix-disable-forwarding",
         "CVE-2025-61985", "CVE-2026-35387", "CVE-2026-35414"]
REFUSED = {"CVE-2023-48795": "struct kex"}
OBSERVED = "fix-disable-forwarding"
checks = Checks()
stop = threading.Event()
answers = logins = 0


class Server:
    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        for key in ("host", "user"):
            subprocess.run([SOURCE + "/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            "%s/%s" % (folder, key)], check=True)
        with open(folder + "/conf", "w") as file:
            file.write("ListenAddress 127.0.0.1:%d\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\n"
                       "PidFile none\nStrictModes no\nDisableForwarding yes\nMaxStartups 100\n"
                       % (self.port, folder, folder))
        os.mkdir(folder + "/patches")
        self.agent = subprocess.Popen([SOURCE + "/ssh-agent", "-D", "-a", folder + "/agent"],
                                      stdout=subprocess.DEVNULL,
                                      env=dict(os.environ, MEND_OPTIONS="--log /dev/null"))
        options = "--log /dev/null --patch-dir %s/patches" % folder
        with open(folder + "/log", "w") as log:
            self.process = subprocess.Popen([SOURCE + "/sshd", "-D", "-e", "-f", folder + "/conf"],
                                            stdout=log, stderr=log,
                                            env=dict(os.environ, MEND_OPTIONS=options))

    def login(self, *command):
        return [SOURCE + "/ssh", "-F", "/dev/null", "-q", "-A", "-p", str(self.port), "-i",
                self.folder + "/user", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "root@127.0.0.1", *command]

    def client_environment(self):
        return dict(os.environ, SSH_AUTH_SOCK=self.folder + "/agent", MEND_OPTIONS="--no-socket")

    def forwards_agent(self):
        """Whether a new connection does what the configuration forbids: the fix is not in it."""
        done = subprocess.run(self.login("echo x$SSH_AUTH_SOCK"), capture_output=True, text=True,
                              timeout=60, env=self.client_environment())
        checks.expect(done.returncode == 0, "a login to observe: %s %s" % (done.returncode, done.stderr))
        return done.stdout.strip() != "x"


def keep_session(server):
    global answers
    session = subprocess.Popen(server.login("while read l; do echo got $l; done"), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=server.client_environment())
    turn = 0
    while not stop.is_set():
        turn += 1
        session.stdin.write("%d\n" % turn)
        session.stdin.flush()
        got = session.stdout.readline()
        if got != "got %d\n" % turn:
            checks.fail("a kept session answered %r" % got)
            break
        answers += 1
        time.sleep(0.01)
    session.stdin.close()
    checks.expect(session.wait(30) == 0, "a kept session's exit code %s" % session.returncode)


def keep_logging_in(server):
    global logins
    while not stop.is_set():
        text = "%d " % logins * 1000
        done = subprocess.run(server.login("cat; exit 7"), input=text, capture_output=True, text=True,
                              timeout=60, env=server.client_environment())
        checks.expect(done.stdout == text and done.returncode == 7,
                      "a login: %d %s" % (done.returncode, done.stderr))
        logins += 1


def patch_of(name):
    return "%s/debian/patches/%s.patch" % (SOURCE, name)


def first_report(answer):
    """Of several processes each has a report; they are alike."""
    reports = [t for t in answer.get("targets", [answer]) if t.get("outcome") != "ended"]
    return reports[0] if reports else answer


def try_fix(name):
    code, answer = apply(BUILD, "sshd", [patch_of(name)], name)
    report = first_report(answer)
    if name in REFUSED:
        reasons = [refusal["message"] for refusal in report.get("refusals", [])]
        checks.expect(code == 3 and any(REFUSED[name] in reason for reason in reasons),
                      "%s is refused for %s: %d %s" % (name, REFUSED[name], code, answer))
        return row(name, report, "refused: MEND-E0101")
    checks.expect(code == 0, "%s applies: %d %s" % (name, code, answer))
    checks.expect(disable(BUILD, "sshd", name), name + " is disabled")
    return row(name, report, "applied, disabled")


def try_persisted(server):
    """In connections that are made later."""
    checks.expect(server.forwards_agent(), "the agent is forwarded before the fix")
    command = [BUILD + "/bin/patchc", "apply", "--persist", "--to", str(server.process.pid), "--diff",
               patch_of(OBSERVED)]
    done = run(*command)
    checks.expect(done.returncode == 0, "%s is persisted: %s" % (OBSERVED, done.stderr))
    checks.expect(not server.forwards_agent(), "the agent is not forwarded with the fix")
    os.unlink("%s/patches/%s.mendpatch" % (server.folder, OBSERVED))
    checks.expect(disable(BUILD, str(server.process.pid), OBSERVED), OBSERVED + " is disabled")
    checks.expect(server.forwards_agent(), "the agent is forwarded after the fix")


def main():
    folder = tempfile.mkdtemp(prefix="mend-openssh-")
    os.environ["XDG_RUNTIME_DIR"] = folder
    server = Server(folder)
    if not await_port(server.port):
        sys.exit("sshd does not start; log in " + folder)
    clients = [threading.Thread(target=target, args=(server,))
               for target in (keep_session, keep_session, keep_logging_in)]
    for client in clients:
        client.start()
    rows = []
    try:
        rows = [try_fix(name) for name in FIXES]
        try_persisted(server)
        checks.expect(all(client.is_alive() for client in clients), "clients go on")
    finally:
        stop.set()
        for client in clients:
            client.join(60)
        checks.expect(server.process.poll() is None, "the server ended by itself")
        server.process.terminate()
        server.agent.terminate()
        server.process.wait(30)
        server.agent.wait(30)
    show_table(rows)
    print("\n%d answers in kept sessions, %d logins, all right" % (answers, logins))
    checks.conclude(folder)


main()
