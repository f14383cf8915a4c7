"""The embedded network controller: keeps networks and members, and answers members that ask."""

import json
import logging
import secrets
import time
from collections.abc import Callable

from . import assign, identity, records
from .coerce import Json, to_bool, to_str
from .home import Home

log = logging.getLogger(__name__)

_ONLINE = 120.0  # seconds after its last request during which a member is told of changes at once
_KEY_SIZE = 16
Send = Callable[[int, Json], object]


class Controller:
    """All networks whose ids begin with this node's address."""

    def __init__(self, node: int, home: Home, send: Send) -> None:
        self.node = node
        self.networks: dict[int, Json] = {}
        self.members: dict[int, dict[int, Json]] = {}
        self._keys: dict[int, bytes] = {}
        self._home = home
        self._send = send
        self._asked: dict[tuple[int, int], float] = {}  # when each authorised member last asked
        self._load()

    def _load(self) -> None:
        folder = self._home.path / "controller.d/network"
        for file in sorted(folder.glob("*.json")):
            nwid = int(file.stem, 16)
            self.networks[nwid] = json.loads(file.read_text())
            found = sorted((folder / file.stem / "member").glob("*.json"))
            self.members[nwid] = {int(each.stem, 16): json.loads(each.read_text()) for each in found}
            self._keys[nwid] = bytes.fromhex(self._home.read(f"controller.d/network/{file.stem}/key"))

    def new_id(self) -> int:
        """A network id that is free."""
        while True:
            nwid = self.node << 24 | (secrets.randbelow(0xFFFFFF) + 1)
            if nwid not in self.networks:
                return nwid

    def update_network(self, nwid: int, body: Json) -> Json:
        """Create or change a network and tell its members."""
        if nwid not in self.networks:
            (self._home.path / f"controller.d/network/{nwid:016x}/member").mkdir(parents=True, exist_ok=True)
            self.members[nwid] = {}
            self._new_key(nwid)
        old = self.networks.get(nwid, {})
        new = records.update_network(old or records.new_network(nwid), body)
        if new != old:
            new["revision"] = new.get("revision", 0) + 1
            self.networks[nwid] = new
            self._home.write(f"controller.d/network/{nwid:016x}.json", json.dumps(new))
            self._push(nwid)
        return new

    def delete_network(self, nwid: int) -> Json:
        """Forget a network; its members find out when they next ask."""
        folder = self._home.path / "controller.d/network"
        for file in (folder / f"{nwid:016x}/member").glob("*.json"):
            file.unlink()
        (folder / f"{nwid:016x}.json").unlink(missing_ok=True)
        self.members.pop(nwid, None)
        return self.networks.pop(nwid)

    def update_member(self, nwid: int, node: int, body: Json) -> Json:
        """Create or change a member and tell it."""
        old = self.members[nwid].get(node)
        new = records.update_member(old or records.new_member(nwid, node), body)
        self._save_member(nwid, node, new)
        return self.members[nwid][node]

    def delete_member(self, nwid: int, node: int) -> Json:
        """Forget a member; it comes back, not authorised, if it still asks."""
        gone = self.members[nwid].pop(node)
        (self._home.path / f"controller.d/network/{nwid:016x}/member/{node:010x}.json").unlink(
            missing_ok=True
        )
        if gone["authorized"]:
            self._new_key(nwid)
            self._push(nwid)
        return gone

    def request(self, nwid: int, node: int, message: Json) -> None:
        """Answer a member that asks for its configuration."""
        if nwid not in self.networks:
            self._send(node, {"k": "netconf-error", "nw": f"{nwid:016x}", "code": "not-found"})
            return
        member = dict(self.members[nwid].get(node) or records.new_member(nwid, node))
        who = identity.parse(to_str(message.get("identity")))
        if who is None or member.setdefault("identity", who.public_text) != who.public_text:
            self._send(node, {"k": "netconf-error", "nw": f"{nwid:016x}", "code": "denied"})
            return
        if not member["authorized"] and not to_bool(self.networks[nwid]["private"], True):
            records.set_authorized(member, True, "public")
        if member["authorized"]:
            version = message.get("v") or (-1, -1, -1)
            member.update(zip(("vMajor", "vMinor", "vRev"), version, strict=False), vProto=12)
            member["ipAssignments"] = list(self._assign(nwid, node, member).ip_assignments)
        self._save_member(nwid, node, member, tell_it=False)
        if self._answer(nwid, node):
            self._asked[nwid, node] = time.monotonic()

    def _save_member(self, nwid: int, node: int, new: Json, tell_it: bool = True) -> None:
        old = self.members[nwid].get(node, {})
        if new == old:
            return
        new["revision"] = new.get("revision", 0) + 1
        self.members[nwid][node] = new
        self._home.write(f"controller.d/network/{nwid:016x}/member/{node:010x}.json", json.dumps(new))
        was_in = bool(old.get("authorized"))
        if was_in and not new["authorized"]:
            self._new_key(nwid)
        if was_in != bool(new["authorized"]):
            self._push(nwid, without=() if tell_it else (node,))
        elif tell_it and new["authorized"] and self._is_online(nwid, node):
            self._answer(nwid, node)

    def _new_key(self, nwid: int) -> None:
        self._keys[nwid] = secrets.token_bytes(_KEY_SIZE)
        self._home.write(f"controller.d/network/{nwid:016x}/key", self._keys[nwid].hex(), 0o600)

    def _is_online(self, nwid: int, node: int) -> bool:
        return time.monotonic() - self._asked.get((nwid, node), -_ONLINE) < _ONLINE

    def _push(self, nwid: int, without: tuple[int, ...] = ()) -> None:
        """Tell the members that are there; one that is put out, or was never in, has to ask by itself."""
        for node, member in list(self.members[nwid].items()):
            if node not in without and member["authorized"] and self._is_online(nwid, node):
                self._answer(nwid, node)

    def _answer(self, nwid: int, node: int) -> bool:
        """Send a member its configuration, or that it may not have one; whether it may."""
        network, member = self.networks[nwid], self.members[nwid][node]
        if not member["authorized"]:
            self._send(node, {"k": "netconf-error", "nw": f"{nwid:016x}", "code": "denied"})
            return False
        given = self._assign(nwid, node, member)
        if list(given.ip_assignments) != member["ipAssignments"]:
            member = {**member, "ipAssignments": list(given.ip_assignments)}
            self._save_member(nwid, node, member, tell_it=False)
        self._send(node, {"k": "netconf", "nw": f"{nwid:016x}", "conf": self._config(nwid, network, given)})
        return True

    def _assign(self, nwid: int, node: int, member: Json) -> assign.Assignment:
        others = (each for other, each in self.members[nwid].items() if other != node)
        taken = [ip for each in others for ip in each["ipAssignments"]]
        return assign.assign(self.networks[nwid], member, nwid, node, taken)

    def _config(self, nwid: int, network: Json, given: assign.Assignment) -> Json:
        members = [f"{node:010x}" for node, each in self.members[nwid].items() if each["authorized"]]
        return {
            "revision": network["revision"],
            "name": network["name"],
            "private": network["private"],
            "mtu": network["mtu"],
            "multicastLimit": network["multicastLimit"],
            "broadcast": network["enableBroadcast"],
            "emulateNd": given.emulate_nd,
            "routes": network["routes"],
            "addresses": [str(address) for address in given.addresses],
            "dns": network["dns"] if isinstance(network["dns"], dict) else {},
            "members": members,
            "key": self._keys[nwid].hex(),
        }
