"""A client of servers that speak RESP2, for the scripts beside it."""
import socket


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """One connection, kept for good: it never connects again."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.settimeout(timeout)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(w), w) for w in words]
        self.socket.sendall(b"".join(parts))

    def ask(self, *words):
        self.send(*words)
        return self.receive()

    def receive(self):
        """One reply: bytes, int, list, None; an error or a status as a str that begins with - or +."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind in b"+-":
            return line.decode(errors="replace")
        if kind == b":":
            return int(rest)
        count = int(rest)
        if count < 0:
            return None
        if kind == b"$":
            return self.exactly(count + 2)[:-2]
        return [self.receive() for _ in range(count)]

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed()
        self.buffer += data
