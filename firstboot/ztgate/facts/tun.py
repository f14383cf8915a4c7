"""Whether ZeroTier will be able to make its network device."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def problem(path: Path) -> tuple[str, str] | None:
    """What is wrong with /dev/net/tun and what to do; None when it can be opened."""
    try:
        os.close(os.open(path, os.O_RDWR))
    except FileNotFoundError:
        return (
            f"there is no {path}",
            "load the module with `modprobe tun`, or have the provider enable TUN/TAP",
        )
    except OSError as error:
        if error.errno == errno.ENODEV:
            return f"{path} is there, but the kernel has no tun driver", "load it with `modprobe tun`"
        return (
            f"{path} cannot be opened: {error.strerror}",
            "have the provider enable TUN/TAP for this machine",
        )
    return None
