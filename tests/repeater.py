"""Passes frames between two network interfaces, as a bridge would; runs in a machine, with its own Python.

    python3 repeater.py eth1 wlan1

In the place of the kernel's bridge: mac80211_hwsim of Linux 7.3 encrypts in the frame's own buffer, and those
that come from another device have no room for that.
"""

import select
import socket
import sys

EVERYTHING = 3  # ETH_P_ALL, linux/if_ether.h
PROMISCUOUS = (1, 1)  # PACKET_ADD_MEMBERSHIP and PACKET_MR_PROMISC, linux/if_packet.h
SOL_PACKET = 263


def listen(name: str) -> socket.socket:
    """All frames of an interface, those for others included."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    raw.bind((name, 0))
    option, kind = PROMISCUOUS
    request = socket.if_nametoindex(name).to_bytes(4, sys.byteorder) + kind.to_bytes(2, sys.byteorder)
    raw.setsockopt(SOL_PACKET, option, request + bytes(10))
    return raw


def main(one: str, other: str) -> None:
    """Until it is killed."""
    first, second = listen(one), listen(other)
    ways = {first: second, second: first}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            frame, address = source.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING and len(frame) <= 1514:
                ways[source].send(frame)


if __name__ == "__main__":
    main(*sys.argv[1:3])
