"""`make bench`: this builder beside Debian's others, on one package list and one mirror, in one run."""
