"""The gateway's page for members: an unprivileged server that shows what `ztgate observe` has written."""
