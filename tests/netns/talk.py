"""Two ends of a conversation, run inside namespaces by test_firewall.py; needs nothing but Python.

talk.py serve PROTOCOL PORT             answers everybody with the address that they came from
talk.py ask PROTOCOL HOST PORT [SOURCE] prints the answer and the TCP segment size; status 1 without one
talk.py crowd tcp HOST PORT SOURCE      makes as many connections at once as a browser, and prints the seconds
                                        until the last one was refused
talk.py mirror tcp PORT                 gives everybody back what they have sent, once that is all there
talk.py swap tcp HOST PORT SOURCE SIZE  sends so many bytes to a mirror; status 1 if something else comes back
talk.py advertise tcp INTERFACE         says once that it is a router for everybody (RFC 4861, 4.2)
"""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

PATIENCE = 0.7  # seconds; everything is on this machine
CROWD = 50  # connections


def serve(kind: int, port: int) -> None:
    with socket.socket(socket.AF_INET6, kind) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::", port))
        if kind == socket.SOCK_DGRAM:
            while True:
                _, peer = server.recvfrom(100)
                server.sendto(seen(peer[0]), peer)
        server.listen()
        while True:
            connection, peer = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(seen(peer[0]))


def seen(address: str) -> bytes:
    return address.removeprefix("::ffff:").encode()


def ask(kind: int, host: str, port: int, source: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as client:
        client.settimeout(PATIENCE)
        if source:
            client.bind((source, 0))
        client.connect((host, port))
        if kind == socket.SOCK_DGRAM:
            client.send(b"?")
        size = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) if kind == socket.SOCK_STREAM else 0
        print(client.recv(100).decode(), size)


def crowd(host: str, port: int, source: str) -> None:
    def knock() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client, contextlib.suppress(OSError):
            client.bind((source, 0))
            client.connect((host, port))

    began = time.monotonic()
    knocking = [threading.Thread(target=knock) for _ in range(CROWD)]
    for thread in knocking:
        thread.start()
    for thread in knocking:
        thread.join()
    print(time.monotonic() - began)


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def mirror(port: int) -> None:
    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(received(connection))

    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        while True:
            threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def swap(host: str, port: int, source: str, size: int) -> None:
    content = os.urandom(size)
    with socket.create_connection((host, port), source_address=(source, 0)) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        sys.exit(received(client) != content)


def advertise(interface: str) -> None:
    advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)  # the kernel fills in the checksum
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        router.sendto(advert, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))


def main() -> int:
    verb, protocol, *rest = sys.argv[1:]
    if verb == "crowd":
        crowd(rest[0], int(rest[1]), rest[2])
        return 0
    if verb == "advertise":
        advertise(rest[0])
        return 0
    if verb == "mirror":
        mirror(int(rest[0]))
    if verb == "swap":
        swap(rest[0], int(rest[1]), rest[2], int(rest[3]))
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    if verb == "serve":
        for port in rest[1:]:
            threading.Thread(target=serve, args=(kind, int(port)), daemon=True).start()
        serve(kind, int(rest[0]))
    try:
        ask(kind, rest[0], int(rest[1]), rest[2] if len(rest) > 2 else "")
    except OSError as error:
        print(error.strerror or "timed out")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
