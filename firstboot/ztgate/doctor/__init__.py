"""`ztgate doctor`: the whole chain from the cable to members' packets, link by link. It only looks."""
