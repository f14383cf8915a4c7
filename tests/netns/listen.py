"""Listens as ztgate-page.socket does, and is the page's server: listen.py INTERFACE ADDRESS... -- FOLDER."""

import os
import socket
import sys
from pathlib import Path

FIRST = 3  # sd_listen_fds(3)
SERVER = "import sys; from ztgate.page.server import main; sys.exit(main())"
FIRSTBOOT = Path(__file__).resolve().parents[2] / "firstboot"


def listener(interface: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    made.bind((address, 80))
    made.listen(64)
    return made


def main() -> None:
    interface, *rest = sys.argv[1:]
    addresses, (folder,) = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    # Their numbers are high first, so that none is in another one's place.
    sockets = [listener(interface, each) for each in addresses]
    high = [os.dup2(each.fileno(), 100 + number) for number, each in enumerate(sockets)]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST + number)
    own = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "PYTHONPATH": str(FIRSTBOOT)}
    os.execve(sys.executable, [sys.executable, "-c", SERVER, folder], {**os.environ, **own})


if __name__ == "__main__":
    main()
