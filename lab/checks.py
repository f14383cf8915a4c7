"""What the demo proves, each by a real packet or a real reply; one function a verdict.

A check returns its evidence in a few words and raises LabError when what it wants does not hold.
They run in the order of CHECKS: later ones stand on what earlier ones brought about.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import disk, names, topology, traces
from lab.enrolment import Enrolment
from lab.errors import LabError
from lab.machine import Machine
from lab.retry import NotYet, retry
from lab.world import FAILED, LIVED_IN, READY, World, echo_url

Json = dict[str, Any]
DOWNLOAD = 100_000_000
ALLOWED_PORT, CLOSED_PORT = 8443, 8081
# A neighbour that was there before us: it never comes online, and nothing may happen to it.
PRINTER = ("aaaaaaaaaa", {"authorized": True, "name": "printer", "ipAssignments": ["10.66.0.77"]})


@dataclass
class Scene:
    """The demo's world, and what the checks have learnt so far."""

    world: World
    door: str = "central-v1"
    image: Path | None = None  # the world's own
    sections: Json = field(default_factory=dict)  # more of gateway.yaml
    spare: bool = False  # a second network card
    nwid: str = ""
    before: Json = field(default_factory=dict)
    ready: Json = field(default_factory=dict)
    node: str = ""
    token: str = ""
    global_address: str = ""
    machine: Machine | None = None
    enrolment: Enrolment | None = None

    def __enter__(self) -> "Scene":
        self.set()
        return self

    def __exit__(self, *_: object) -> None:
        self.strike()

    def set(self) -> None:
        """A lived-in network with a laptop in it; the gateway is configured, but switched off."""
        controller = self.world.controller
        self.nwid = controller.create_network(**LIVED_IN)
        name, member = PRINTER
        controller.node.api("POST", f"/controller/network/{self.nwid}/member/{name}", member)
        sections: dict[str, Json] = {
            "firewall": {"allow": [f"tcp/{ALLOWED_PORT}"]},
            "gateway": {"name": "lab-gateway"},
        }
        config = self.world.config(self.nwid, self.door, **sections, **self.sections)
        laptop = self.world.member("laptop")
        self.enrolment = laptop.enrol(config, topology.RESOLVER, self.world.work / f"laptop-{self.nwid}")
        controller.authorize(self.nwid, laptop.node.address)
        retry(lambda: laptop.node.network(self.nwid), 60, "the laptop in its network")
        self.before = self.snapshot()
        self.token = controller.door(self.door).token
        name = "gateway" if self.image is None else self.image.stem
        self.machine = self.world.gateway(name, config, self.image, spare=self.spare)

    def strike(self) -> None:
        """The gateway is gone, and the laptop no longer in its network."""
        self.gateway.close()
        if self.enrolment is not None:
            self.enrolment.leave()

    def snapshot(self) -> Json:
        """The network and its members as the controller has them."""
        controller = self.world.controller
        members = {node: controller.member(self.nwid, node) for node in controller.members(self.nwid)}
        return {"network": controller.network(self.nwid), "members": members}

    @property
    def gateway(self) -> Machine:
        """The gateway's machine."""
        if self.machine is None:
            raise LabError("the gateway was not made")
        return self.machine


def boots(scene: Scene) -> str:
    """The image's own boot loader brings the system up."""
    scene.gateway.start()
    scene.gateway.expect(r"login:|(?=ztgate: )")  # that line is looked for again
    return f"{scene.gateway.options.firmware}, {scene.gateway.options.accelerator}"


def says_ready(scene: Scene) -> str:
    """First boot ends with the line that everybody waits for."""
    match = scene.gateway.expect(READY, never=FAILED)
    scene.ready = {name: match[name] for name in ("network", "address", "ipv6", "seconds")}
    want(scene.ready["network"] == scene.nwid, f"ready on {scene.ready['network']}, not on {scene.nwid}")
    return "address {address}, IPv6 {ipv6}, {seconds} s after power-on".format(**scene.ready)


def authorized_itself(scene: Scene) -> str:
    """The controller has a new authorized member with the announced address, written by the gateway."""
    new = set(scene.world.controller.members(scene.nwid)) - set(scene.before["members"])
    want(len(new) == 1, f"new members: {sorted(new) or 'none'}")
    scene.node = new.pop()
    member = scene.world.controller.member(scene.nwid, scene.node)
    want(member["authorized"], f"{scene.node} is not authorized")
    want(scene.ready["address"] in member["ipAssignments"], f"assignments: {member['ipAssignments']}")
    return f"{scene.node} with {scene.ready['address']}"


def default_routes(scene: Scene) -> str:
    """Both families' default routes lead to the gateway."""
    routes = {r["target"]: r["via"] for r in scene.world.controller.network(scene.nwid)["routes"]}
    ipv4, ipv6 = routes.get("0.0.0.0/0"), routes.get("::/0")
    want(ipv4 == scene.ready["address"], f"0.0.0.0/0 goes via {ipv4}")
    want(str(ipv6).startswith("fd"), f"::/0 goes via {ipv6}")
    want(scene.ready["ipv6"] in routes, f"the /80 is no route: {sorted(routes)}")
    return f"0.0.0.0/0 via {ipv4}, ::/0 via {ipv6}"


def nothing_lost(scene: Scene) -> str:
    """All that was in the network before is still there."""
    now = scene.snapshot()
    lost = list(differences(scene.before["network"], now["network"]))
    for node, member in scene.before["members"].items():
        for key in ("authorized", "name", "tags", "capabilities", "noAutoAssignIps", "activeBridge"):
            if now["members"].get(node, {}).get(key) != member.get(key):
                lost.append(f"member {node}: {key}")
        if not set(member["ipAssignments"]) <= set(now["members"].get(node, {}).get("ipAssignments", [])):
            lost.append(f"member {node}: ipAssignments")
    want(not lost, f"changed: {', '.join(lost)}")
    return (
        f"{len(scene.before['network']['routes'])} routes, {len(scene.before['members'])} members, DNS, rules"
    )


def differences(before: Json, now: Json) -> list[str]:
    """The keys of a network that lost or changed something that is not the gateway's business."""
    ours = {"routes", "ipAssignmentPools", "v4AssignMode", "v6AssignMode", "mtu", "revision"}
    changed = [key for key in before if key not in ours and now.get(key) != before[key]]
    for key in ("routes", "ipAssignmentPools"):
        changed += [f"{key}: {entry}" for entry in before[key] if entry not in now[key]]
    for key in ("v4AssignMode", "v6AssignMode"):
        changed += [f"{key}.{name}" for name, on in before[key].items() if on and not now[key].get(name)]
    return changed


def laptop_is_enrolled(scene: Scene) -> str:
    """join.sh, which has been at work since before the gateway, ends and finds nothing wrong."""
    want(scene.enrolment is not None, "nobody has started join.sh")
    said = scene.enrolment.verdict() if scene.enrolment is not None else ""
    verdicts = [line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith("ok ")]
    want(len(verdicts) == 5, f"join.sh has {len(verdicts)} good verdicts:\n{said}")
    return "; ".join(verdicts)


def ipv4_leaves_here(scene: Scene) -> str:
    """A member's IPv4 reaches the internet with the gateway's WAN address."""
    laptop = scene.world.member("laptop")
    laptop.wait_tunnelled(scene.nwid)
    seen = retry(lambda: laptop.get(echo_url(4)), 60, "an IPv4 answer from the internet")["address"]
    want(seen == topology.WAN_IPV4, f"the internet saw {seen}")
    return f"the internet saw {seen}"


def ipv6_leaves_here(scene: Scene) -> str:
    """A member's IPv6 reaches the internet with the member's own global address."""
    laptop = scene.world.member("laptop")
    scene.global_address = laptop.global_address(scene.nwid)
    seen = retry(lambda: laptop.get(echo_url(6)), 60, "an IPv6 answer from the internet")["address"]
    want(seen == scene.global_address, f"the internet saw {seen}, the member has {scene.global_address}")
    return f"the internet saw {seen}"


def dns_leaves_here(scene: Scene) -> str:
    """The gateway's resolver looks names up from the gateway's address, and validates the answers."""
    host, server = scene.world.member("laptop").host, scene.ready["address"]
    seen = retry(lambda: names.ask(host, server, topology.WHOAMI_NAME), 60, "an answer of the resolver").data
    want(seen == (topology.WAN_IPV4,), f"the name server was asked by {', '.join(seen) or 'nobody'}")
    signed = names.ask(host, server, topology.SIGNED_NAME)
    want(bool(signed.data) and "ad" in signed.flags, f"{topology.SIGNED_NAME} was not validated: {signed}")
    bogus = names.ask(host, server, topology.BOGUS_NAME)
    want(bogus.status == "SERVFAIL", f"{topology.BOGUS_NAME} was believed: {bogus}")
    own = names.ask(host, server, f"{scene.node}.zt.home.arpa")
    want(own.data == (server,), f"the gateway's own name is {own}")
    return f"asked by {seen[0]}; signed well: validated, signed wrongly: {bogus.status}"


def replies_return(scene: Scene) -> str:
    """Echo requests of both families come back, every one."""
    host = scene.world.member("laptop").host
    for target in (str(topology.INTERNET.ipv4.ip), str(topology.INTERNET.ipv6.ip)):
        host.run("ping", "-q", "-c", "5", "-i", "0.3", "-W", "3", target)
    return "5 of 5 over IPv4, 5 of 5 over IPv6"


def neighbour_is_gateway(scene: Scene) -> str:
    """The ISP, asking who has the member's address, is answered with the gateway's MAC address."""
    scene.world.isp.forget_neighbours()
    scene.world.member("laptop").get(echo_url(6))
    mac = scene.world.isp.neighbour(scene.global_address)
    want(mac == topology.WAN_MAC, f"{scene.global_address} is at {mac or 'nobody'}")
    return f"{scene.global_address} is at {mac}"


def unsolicited_is_dropped(scene: Scene) -> str:
    """A connection from the internet to a member's port that nobody allowed does not arrive."""
    laptop = scene.world.member("laptop")
    laptop.serve(ALLOWED_PORT, CLOSED_PORT)
    laptop.get(f"http://[{scene.global_address}]:{CLOSED_PORT}/")  # it does listen
    want(not scene.world.unsolicited(scene.global_address, CLOSED_PORT), f"tcp/{CLOSED_PORT} is open")
    return f"tcp/{CLOSED_PORT} from the internet: no connection"


def allowed_port_passes(scene: Scene) -> str:
    """A connection to a port of `firewall.allow` does."""
    want(scene.world.unsolicited(scene.global_address, ALLOWED_PORT), f"tcp/{ALLOWED_PORT} is closed")
    return f"tcp/{ALLOWED_PORT} from the internet: connected"


def gateway_is_closed(scene: Scene) -> str:
    """ZeroTier's own management port is out of the internet's reach."""
    want(not scene.world.unsolicited(topology.WAN_IPV4, 9993), "tcp/9993 is open to the internet")
    return "tcp/9993 from the internet: no connection"


def download_is_whole(scene: Scene) -> str:
    """100 MB through the tunnel arrive whole."""
    laptop, work = scene.world.member("laptop"), scene.world.work
    body, head = work / "download", work / "download.headers"
    url = echo_url(4, f"/bytes/{DOWNLOAD}")
    speed = laptop.host.run(
        "curl", "-sS", "--fail", "--max-time", "600", "-D", head, "-o", body, "-w", "%{speed_download}", url,
        timeout=620,
    )  # fmt: skip
    with body.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    body.unlink()
    sent = next(
        line.split()[1] for line in head.read_text().splitlines() if line.lower().startswith("x-sha256:")
    )
    want(got == sent, f"sha256 {got[:16]} arrived, {sent[:16]} was sent")
    return f"{DOWNLOAD // 1_000_000} MB, {float(speed) / 1e6:.1f} MB/s, sha256 {got[:16]}"


def page_for_members(scene: Scene) -> str:
    """The gateway's page tells a member how it goes out, and nobody on the internet anything."""
    laptop, url = scene.world.member("laptop"), f"http://{scene.ready['address']}/"

    def fetch(path: str = "") -> str:
        return laptop.host.run("curl", "-sS", "--fail", "--max-time", "120", f"{url}{path}", timeout=130)

    def told() -> str:
        for family in (4, 6):
            laptop.get(echo_url(family))
        page = fetch()
        (scene.world.work / "page.html").write_text(page)
        texts = ("Goes through this gateway", topology.WAN_IPV4, scene.global_address)
        if missing := [text for text in texts if text not in page]:
            raise NotYet(f"it does not say {missing}, see {scene.world.work}/page.html")
        return page

    page = retry(told, 240, "the page, telling the laptop how it goes out")
    metrics = fetch("metrics")
    want("\nztgate_ready 1\n" in metrics and "\nzt_" in metrics, f"/metrics: {metrics[:300]}")
    links = retry(lambda: examined(fetch("metrics")), 240, "all links on the page")
    want(not scene.world.unsolicited(topology.WAN_IPV4, 80), "tcp/80 is open to the internet")
    return f"{len(page)} bytes for the laptop, {links} links hold, no connection from outside"


def examined(metrics: str) -> int:
    """How many links hold, of verdicts that are there.

    Raises:
        NotYet: there are none, or one is broken. Under emulation all at once may be too much, at first.
    """
    links = [line for line in metrics.splitlines() if line.startswith("ztgate_link_ok{")]
    if not links:
        raise NotYet("the doctor has not been there")
    broken = [line for line in links if not line.endswith(" 1")]
    if broken:
        raise NotYet(f"broken: {broken}")
    return len(links)


def second_run_plans_nothing(scene: Scene) -> str:
    """After a run, `ztgate apply` has nothing left to do; neither asks the controller anything."""
    requests = len(scene.world.controller.door(scene.door).requests())
    shell = scene.world.shell()
    # The laptop came after first boot: its neighbour entry is due. Again, if the timer's run is at work.
    retry(lambda: shell.run("ztgate apply --once"), 60, "a run of our own")
    planned = retry(lambda: shell.run("ztgate apply --dry-run"), 60, "a dry run")
    said = planned.strip().splitlines()
    want(said[-1:] == ["nothing to do"], f"it would still do: {said}")
    calls = len(scene.world.controller.door(scene.door).requests()) - requests
    want(calls == 0, f"{calls} API calls")
    return "no action, no API call"


def token_is_gone(scene: Scene) -> str:
    """It is in no log, process or state; after a power cut nowhere on the disk, not even in free space."""
    told = traces.places(scene.world.shell(), scene.token)
    want(not told, f"the token is in {len(told)} lines that the gateway shows")
    scene.gateway.cut_power()
    found = disk.places(scene.gateway.options.disk, scene.token, scene.world.work)
    want(not found, f"the token is on the disk, at the bytes {found}")
    want(scene.token not in scene.gateway.console_text(), "the token was on the console")
    return f"{len(scene.token)} bytes searched for on the raw disk, the console, in journal and processes"


def comes_back(scene: Scene) -> str:
    """Switched on again, it is the same node, and members' traffic flows again without an API call."""
    door = scene.world.controller.door(scene.door)
    requests = len(door.requests())
    scene.gateway.start()
    match = scene.gateway.expect(READY, never=FAILED)
    want(match["address"] == scene.ready["address"], f"it came back as {match['address']}")
    laptop = scene.world.member("laptop")
    for family in (4, 6):
        retry(lambda f=family: laptop.get(echo_url(f)), 90, f"IPv{family} after the power cut")  # type: ignore[misc]
    node = json.loads(scene.world.shell().run("zerotier-cli -j info"))["address"]
    want(node == scene.node, f"it came back as {node}, it was {scene.node}")
    calls = [f"{r['method']} {r['path']}" for r in door.requests()[requests:]]
    want(not calls, f"API calls: {calls}")
    return f"{node} again after {match['seconds']} s, no API call"


def leaves_as_it_came(scene: Scene) -> str:
    """`ztgate withdraw`: the network and its members are what they were before the gateway came."""
    shell, token = scene.world.shell(), scene.world.work / "token"
    token.write_text(scene.token)
    shell.put(token, "/run/token")
    retry(lambda: shell.run("ztgate withdraw --token-file /run/token", timeout=300), 60, "withdrawing")
    now, before = scene.snapshot(), scene.before
    changed = [key for key in before["network"] if now["network"].get(key) != before["network"][key]]
    want(
        set(changed) <= {"revision"},
        f"otherwise than before: {[(k, now['network'].get(k)) for k in changed]}",
    )
    want(set(now["members"]) == set(before["members"]), f"members: {sorted(now['members'])}")
    for node, member in before["members"].items():
        for key in ("authorized", "name", "ipAssignments", "noAutoAssignIps", "activeBridge"):
            want(now["members"][node].get(key) == member.get(key), f"member {node}: {key}")
    return f"{len(before['network']['routes'])} routes, {len(before['members'])} members, as before"


@dataclass(frozen=True)
class Check:
    """A verdict's name in the report, and what finds it."""

    name: str
    run: Callable[[Scene], str]


CHECKS = (
    Check("boots", boots),
    Check("says that it is ready", says_ready),
    Check("authorized itself", authorized_itself),
    Check("published the default routes", default_routes),
    Check("left what was there", nothing_lost),
    Check("join.sh has enrolled the laptop", laptop_is_enrolled),
    Check("IPv4 leaves through the gateway", ipv4_leaves_here),
    Check("IPv6 leaves with the member's own address", ipv6_leaves_here),
    Check("DNS leaves through the gateway", dns_leaves_here),
    Check("replies come back", replies_return),
    Check("upstream resolves the member to the gateway", neighbour_is_gateway),
    Check("unsolicited inbound is dropped", unsolicited_is_dropped),
    Check("an allowed port passes", allowed_port_passes),
    Check("management port is closed", gateway_is_closed),
    Check("100 MB arrive whole", download_is_whole),
    Check("the page answers members only", page_for_members),
    Check("a second run plans nothing", second_run_plans_nothing),
    Check("the token is gone", token_is_gone),
    Check("comes back after a power cut", comes_back),
)
# Last of all: after it there is no gateway.
LEAVING = Check("withdraws without a trace", leaves_as_it_came)


def want(holds: bool, otherwise: str) -> None:
    """Fail the check with ``otherwise`` unless the condition holds.

    Raises:
        LabError: it does not.
    """
    if not holds:
        raise LabError(otherwise)
