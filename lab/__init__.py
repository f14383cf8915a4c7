"""The virtual world in which the gateway image is tried: a library for `make demo` and the tests.

It knows nothing of how images are made or of what runs inside one: an image is a black box
that is configured with ``build.py configure``, booted, watched and asked from outside.
"""
