"""A laboratory stand-in for zerotier-one: the same commands, files, API and quirks, and no security at all.

Everything that crosses the network is readable by anybody, and nodes are believed when they say who they
are. It exists so that a gateway image can be tested on a machine that cannot reach ZeroTier.
"""

VERSION = (1, 14, 1)  # the release whose behaviour is copied; clients compare it
VERSION_TEXT = ".".join(str(part) for part in VERSION)
PACKAGE_VERSION = f"{VERSION_TEXT}+standin1"
NOTICE = "LAB STAND-IN, NOT ZeroTier: no encryption, no authentication of nodes. Never use it outside a lab."
DEFAULT_HOME = "/var/lib/zerotier-one"
DEFAULT_PORT = 9993
