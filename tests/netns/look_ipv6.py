"""What ztgate's probe sees, run inside a namespace by test_ipv6_modes.py.

look_ipv6.py INTERFACE SUBNET OWN-ADDRESS HOST   prints the verdict
"""

import random
import sys
from ipaddress import IPv6Address, IPv6Network

from ztgate import run
from ztgate.facts import ipv6_probe


def main(interface: str, subnet: str, own: str, host: str) -> None:
    address = ipv6_probe.address_for(IPv6Network(subnet), random.getrandbits(32))
    seen = ipv6_probe.look(run.probe, interface, address, [IPv6Address(own)], [host])
    print(ipv6_probe.verdict(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
