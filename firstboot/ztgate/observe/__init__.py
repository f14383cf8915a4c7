"""`ztgate observe`: as root, looks at the gateway while its page is looked at, and notes what may be seen."""
