"""redis_clients.py PORT REPLICA_PORT: clients of a redis-server that check every answer, until SIGTERM.

Connections are made once. Beside those that work all the time, one holds a MULTI open, one blocks in
BLPOP, one listens to a channel; a save in the background is started whenever none runs. At the end
one line says what happened; the exit code is 1 if anything was wrong.
"""
import signal
import sys
import threading
import time
import traceback

from resp_client import Client, Closed

WORKERS = 4
port, replica_port = int(sys.argv[1]), int(sys.argv[2])
stop = threading.Event()
lock = threading.Lock()
counts = {"requests": 0, "wrong": 0, "disconnected": 0, "saves": 0}
messages = []


def count(what, number=1):
    with lock:
        counts[what] += number


def check(client, wanted, *words):
    got = client.ask(*words)
    count("requests")
    if got != wanted:
        count("wrong")
        messages.append("%r: wanted %r, got %r" % (words[:3], wanted, got))


def work(number):
    client = Client(port)
    script = "local n = 0; for i = 1, tonumber(ARGV[1]) do n = n + i end; return n"
    turn = 0
    while not stop.is_set():
        turn += 1
        key = "key:%d:%d" % (number, turn % 100)
        value = b"value %d %s" % (turn, b"x" * (turn % 300))
        check(client, "+OK", "SET", key, value)
        check(client, value, "GET", key)
        check(client, turn, "INCR", "count:%d" % number)
        check(client, 1, "LPUSH", "list:%d" % number, turn)
        check(client, str(turn).encode(), "RPOP", "list:%d" % number)
        check(client, 55, "EVAL", script, 0, 10)
        check(client, "+OK", "MULTI")
        check(client, "+QUEUED", "SET", key, "in a transaction")
        check(client, "+QUEUED", "GET", key)
        check(client, ["+OK", b"in a transaction"], "EXEC")
        check(client, 1, "PFADD", "hll:%d:%d" % (number, turn), "a", "b", "c")
        check(client, 3, "PFCOUNT", "hll:%d:%d" % (number, turn))
        check(client, 2, "DEL", key, "hll:%d:%d" % (number, turn))


def hold_transaction_open():
    """What is queued before a patch runs after it."""
    client = Client(port)
    turn = 0
    while not stop.is_set():
        turn += 1
        check(client, "+OK", "MULTI")
        check(client, "+QUEUED", "SET", "held", turn)
        stop.wait(3)
        check(client, "+QUEUED", "GET", "held")
        check(client, ["+OK", str(turn).encode()], "EXEC")


def block_and_wake():
    """One client blocks in BLPOP; the other lets it go every two seconds."""
    blocked, waker = Client(port), Client(port)
    turn = 0
    while not stop.is_set():
        turn += 1
        blocked.send("BLPOP", "wake", 0)
        stop.wait(2)
        check(waker, 1, "RPUSH", "wake", turn)
        if blocked.receive() != [b"wake", str(turn).encode()]:
            count("wrong")
        count("requests")


def listen():
    listener, speaker = Client(port), Client(port)
    check(listener, [b"subscribe", b"news", 1], "SUBSCRIBE", "news")
    turn = 0
    while not stop.is_set():
        turn += 1
        check(speaker, 1, "PUBLISH", "news", turn)
        if listener.receive() != [b"message", b"news", str(turn).encode()]:
            count("wrong")
        stop.wait(0.1)


def save():
    client = Client(port)
    while not stop.is_set():
        before = client.ask("LASTSAVE")
        answer = client.ask("BGSAVE")
        if not str(answer).startswith("+Background saving"):
            count("wrong")
            messages.append("BGSAVE: %r" % answer)
        waits = time.time() + 60
        while b"rdb_bgsave_in_progress:1" in client.ask("INFO", "persistence"):
            if time.time() > waits:
                count("wrong")
                messages.append("a background save does not end")
                return
            time.sleep(0.05)
        if b"rdb_last_bgsave_status:ok" not in client.ask("INFO", "persistence"):
            count("wrong")
            messages.append("a background save failed")
        count("saves")
        # LASTSAVE counts in seconds.
        stop.wait(1.1)
        if client.ask("LASTSAVE") < before:
            count("wrong")


def compare_replica():
    """At the end the replica has what the server has."""
    server, replica = Client(port), Client(replica_port)
    server.ask("SET", "last", "word")
    waits = time.time() + 30
    while replica.ask("GET", "last") != b"word":
        if time.time() > waits:
            count("wrong")
            messages.append("the replica does not follow")
            return
        time.sleep(0.05)
    for number in range(WORKERS):
        key = "count:%d" % number
        if server.ask("GET", key) != replica.ask("GET", key):
            count("wrong")
            messages.append("the replica differs in %s" % key)


def guarded(function, *arguments):
    try:
        function(*arguments)
    except (Closed, OSError) as error:
        count("disconnected")
        messages.append("%s: %r" % (function.__name__, error))
    except Exception:
        count("wrong")
        messages.append(traceback.format_exc())


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    jobs = [(work, number) for number in range(WORKERS)]
    jobs += [(hold_transaction_open,), (block_and_wake,), (listen,), (save,)]
    threads = [threading.Thread(target=guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        stop.wait(1)
    for thread in threads:
        thread.join()
    guarded(compare_replica)
    for message in messages[:20]:
        print(message)
    print(" ".join("%s=%d" % pair for pair in counts.items()))
    sys.exit(1 if counts["wrong"] or counts["disconnected"] or not counts["saves"] else 0)


main()
