"""One HTTP request, with nothing but sockets: the command line starts often, and slowly in an emulator."""

import socket

PATIENCE = 60.0  # seconds, both for a client to finish its request and for the service to answer one
_HEAD_LIMIT = 65536


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request or reply, and what has come of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk or len(data) > _HEAD_LIMIT:
            raise ConnectionError("no whole request or reply")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def call(host: str, port: int, method: str, path: str, token: str, body: str = "") -> tuple[int, str]:
    """One request to a local API: status and body; OSError if nobody answers."""
    data = body.encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-ZT1-Auth: {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((host, port), PATIENCE) as connection:
        connection.sendall(head.encode() + data)
        answer, reply = read_head(connection)
        while chunk := connection.recv(65536):
            reply += chunk
    return int(answer.split(b" ", 2)[1]), reply.decode()
