"""The stand-in for ZeroTier: a package of the same name and interface for machines without the real one."""
