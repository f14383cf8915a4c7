"""Debian's and ZeroTier's updates: installed at night, looked at, and taken back where they do harm."""
