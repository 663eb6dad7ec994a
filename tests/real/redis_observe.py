"""redis_observe.py PORT [CHECK...]: what a running redis-server answers to requests that the fixes
change. One line a check: NAME vulnerable|fixed|unexpected REPLY.

None of the default checks stops a server without fixes. `lua_unpack` does: name it only for a fixed one.
"""
import sys

from resp_client import Client

port = int(sys.argv[1])


def verdict(is_fixed, is_vulnerable):
    return "fixed" if is_fixed else "vulnerable" if is_vulnerable else "unexpected"


def selector(rule):
    client = Client(port)
    reply = client.ask("ACL", "SETUSER", "observer", rule)
    client.ask("ACL", "DELUSER", "observer")
    return verdict(reply.startswith("-ERR"), reply == "+OK"), reply


def acl_selector():
    """CVE-2024-31227: a key pattern without permissions is taken."""
    return selector("%~")


def acl_empty():
    """CVE-2024-51741: neither permissions nor a pattern."""
    return selector("%")


def keys_nested():
    """CVE-2024-31228: a pattern may nest without bound. The key must match for the recursion to show."""
    client = Client(port)
    client.ask("SET", "n" * 40000, 1)
    found = client.ask("KEYS", "?*" * 40000)
    client.ask("DEL", "n" * 40000)
    return verdict(found == [], isinstance(found, list) and len(found) == 1), "%d found" % len(found)


def reply_injection():
    """CVE-2025-67733: a line end in a request ends the line of the error reply."""
    client = Client(port)
    client.send("FUNCTION", "LIST", b"bad\r\n+INJECTED")
    first = client.line()
    client.send("PING")
    second = client.line()
    return verdict(second == b"+PONG", second == b"+INJECTED"), "%r, %r" % (first[:40], second)


def lua_metatable():
    """CVE-2025-46818: a script changes the string type for all others. No patch can bring that fix."""
    reply = Client(port).ask(
        "EVAL", "getmetatable('').__index = function() return 'pwned' end; return ('a').xx", 0)
    return verdict(isinstance(reply, str) and reply.startswith("-ERR"), reply == b"pwned"), reply


def lua_unpack():
    """CVE-2025-46817: a range whose size does not fit into an int."""
    reply = Client(port).ask("EVAL", "return {unpack({1, 2, 3}, -2, 2147483647)}", 0)
    return verdict(isinstance(reply, str) and reply.startswith("-"), False), reply


DEFAULT = ["acl_selector", "acl_empty", "keys_nested", "reply_injection", "lua_metatable"]
for name in sys.argv[2:] or DEFAULT:
    result, shown = globals()[name]()
    print(name, result, str(shown)[:70].replace("\r\n", "\\r\\n"))
