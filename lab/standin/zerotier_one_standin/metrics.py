"""/metrics: a few of the real one's counters, enough to see that they are served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node


def text(node: "Node") -> str:
    """Prometheus' text format."""
    networks = node.switch.networks.values()
    lines = [
        "# HELP zt_peer_path_count Number of paths to peer",
        "# TYPE zt_peer_path_count gauge",
        *(
            f'zt_peer_path_count{{node_id="{peer.node:010x}",status="alive"}} {len(peer.paths)}'
            for peer in node.paths.peers.values()
        ),
        "# HELP zt_num_networks number of networks this instance is joined to",
        "# TYPE zt_num_networks gauge",
        f"zt_num_networks {len(networks)}",
        "# HELP zt_network_multicast_groups_subscribed number of multicast groups networks are subscribed to",
        "# TYPE zt_network_multicast_groups_subscribed gauge",
        *(
            f'zt_network_multicast_groups_subscribed{{network_id="{net.nwid:016x}"}} {len(net.groups)}'
            for net in networks
        ),
    ]
    return "\n".join(lines) + "\n"
