"""Runs on the appliance: what a packet takes on its way through a gateway of namespaces; what gets through.

    isp to-gw ---- wan0 gw ztlab0 ---- member

argv: a directory with `hand.nft`, `rules.nft` and `fast.nft`, in which MAC is to be the member's, and
`gates.sh`. Prints JSON.
A packet is sent into a cable, and all that becomes of it happens before the call returns. Where the clock
counts instructions (lab/qemu.py, COUNTED) nanoseconds are those.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

# A batch is over before anybody else's turn comes, and one of many was disturbed by nothing.
BATCH, BATCHES, PAUSE = 50, 60, 0.01
ISP4, WAN4, INTERNET4 = "203.0.1.1", "203.0.1.10", "203.0.2.10"
GATEWAY4, MEMBER4 = "10.66.0.1", "10.66.0.7"
OTHER_MAC = "32:00:00:00:00:09"
SETTINGS = ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.src_valid_mark=1")
SINK = "table ip sink { chain sink { type filter hook prerouting priority -400; udp dport 4000 drop\n}\n}"
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*argv: str, host: str = "", given: str = "") -> str:
    """A program's output; it ends here if the program fails."""
    words = [*(("ip", "netns", "exec", host) if host else ()), *argv]
    done = subprocess.run(
        words, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{words}: {done.stdout}")
    return done.stdout


def build() -> None:
    """The three hosts."""
    for host in ("isp", "gw", "member"):
        run("ip", "netns", "add", host)
    for one, its, other, others in (("isp", "to-gw", "gw", "wan0"), ("gw", "ztlab0", "member", "ztlab0")):
        run("ip", "link", "add", its, "netns", one, "type", "veth", "peer", "name", others, "netns", other)
        run("ip", "link", "set", its, "up", host=one)
        run("ip", "link", "set", others, "up", host=other)
    run("ip", "address", "add", f"{ISP4}/24", "dev", "to-gw", host="isp")
    run("ip", "address", "add", f"{WAN4}/24", "dev", "wan0", host="gw")
    run("ip", "address", "add", f"{GATEWAY4}/24", "dev", "ztlab0", host="gw")
    run("ip", "address", "add", f"{MEMBER4}/24", "dev", "ztlab0", host="member")
    run("ip", "route", "add", "default", "via", ISP4, host="gw")
    run("ip", "route", "add", INTERNET4, "dev", "to-gw", host="isp")
    run("sysctl", "-qw", *SETTINGS, host="gw")
    run("nft", SINK, host="isp")
    for host, near in (("isp", WAN4), ("member", GATEWAY4)):  # each knows its neighbour
        run("ping", "-c1", "-W2", near, host=host)


def mac(host: str, device: str) -> str:
    """A device's MAC address."""
    return run("cat", f"/sys/class/net/{device}/address", host=host).strip()


def checksum(header: bytes) -> int:
    """Of an IPv4 header (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(ends: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int]) -> bytes:
    """UDP with 1,300 octets. Each pair is from and to."""
    body = bytes(1300)
    datagram = struct.pack(">HHHH", *ports, 8 + len(body), 0) + body
    known = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(datagram), 1, 0x4000, 64, socket.IPPROTO_UDP)
    route = b"".join(socket.inet_aton(address) for address in addresses)
    header = known + struct.pack(">H", checksum(known + bytes(2) + route)) + route
    far, near = (bytes.fromhex(end.replace(":", "")) for end in reversed(ends))
    return far + near + b"\x08\x00" + header + datagram


def cable(host: str, device: str) -> socket.socket:
    """A packet socket that sends past the queue."""
    own, theirs = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", f"/run/netns/{host}"))
    if LIBC.setns(theirs, 0x40000000) != 0:
        sys.exit("setns")
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.bind((device, 0))
    end.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
    LIBC.setns(own, 0x40000000)
    return end


class Way:
    """The member's connection, both ends of it, and an impostor beside the member."""

    def __init__(self, rules: Path) -> None:
        self.rules = rules
        inner, outer = mac("gw", "ztlab0"), mac("gw", "wan0")
        there, back = ((MEMBER4, INTERNET4), (4001, 4000)), ((INTERNET4, WAN4), (4000, 4001))
        self.inside, self.outside = cable("member", "ztlab0"), cable("isp", "to-gw")
        self.sends = frame((mac("member", "ztlab0"), inner), *there)
        self.gets = frame((mac("isp", "to-gw"), outer), *back)
        self.lies = frame((OTHER_MAC, inner), *there)

    def load(self, *names: str) -> None:
        """These rules and no others, with the connection established under them."""
        run("nft", "flush", "ruleset", host="gw")
        for name in names:
            self.add(name)
        self.talk()

    def add(self, name: str) -> None:
        """These rules as well."""
        text = (self.rules / name).read_text().replace("MAC", mac("member", "ztlab0"))
        run("nft", "-f", "-", host="gw", given=text)

    def talk(self) -> None:
        """A packet there, one back, and both again: established, and judged."""
        for _ in range(3):
            self.inside.send(self.sends)
            self.outside.send(self.gets)

    def cost(self) -> dict[str, float]:
        """Nanoseconds of a packet of each direction, of many batches the shortest."""
        pairs = {"sends": (self.inside, self.sends), "gets": (self.outside, self.gets)}
        return {name: min(batch(*pair) for _ in range(BATCHES)) for name, pair in pairs.items()}

    def passed(self, packet: bytes) -> int:
        """How many of ten copies the ISP gets."""
        before = arrived()
        for _ in range(10):
            self.inside.send(packet)
        return arrived() - before


def batch(end: socket.socket, packet: bytes) -> float:
    """Nanoseconds of a packet."""
    time.sleep(PAUSE)
    began = time.perf_counter_ns()
    for _ in range(BATCH):
        end.send(packet)
    return (time.perf_counter_ns() - began) / BATCH


def arrived() -> int:
    """Frames that have come to the ISP."""
    return int(run("cat", "/sys/class/net/to-gw/statistics/rx_packets", host="isp"))


def fast() -> bool:
    """Whether the connection takes the fast path."""
    rows = run("cat", "/proc/net/nf_conntrack", host="gw").splitlines()
    return any("[OFFLOAD]" in row for row in rows if "dport=4000" in row)


def main() -> None:
    """All that is asked of it, in this order."""
    os.nice(-20)
    build()
    way, said = Way(Path(sys.argv[1])), {}
    way.load("hand.nft")
    said["by hand"] = way.cost()
    run("sh", str(way.rules / "gates.sh"), host="gw")
    way.load("rules.nft")
    said["slow"], slow = way.cost(), fast()
    way.load("rules.nft", "fast.nft")
    said["ours"], quick = way.cost(), fast()
    facts: dict[str, object] = {"fast without": slow, "fast with": quick}
    facts["own packets"], facts["lies"] = way.passed(way.sends), way.passed(way.lies)
    facts["listed"] = run("nft", "-j", "list", "ruleset", host="gw")
    way.add("rules.nft")
    time.sleep(2)  # the kernel looks once a second for what is over
    facts["fast when rules are replaced"] = fast()
    way.add("fast.nft")
    way.talk()
    facts["fast again"] = fast()
    run("nft", "flush", "ruleset", host="gw")
    facts["without any rules"] = way.passed(way.sends)
    print(json.dumps({"costs": said, "facts": facts}))


main()
