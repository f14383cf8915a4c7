.DEFAULT_GOAL := help
PYTEST := ./build.py run pytest
PASS := $(if $(ZEROTIER),--zerotier $(ZEROTIER)) $(if $(KEEP),--keep)

.PHONY: help setup demo check test unit netns image qemu clean

help:   ## Show this list
	@sed -n 's/^\([a-z]*\): *##/  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## Install what ztgate needs: apt packages (root or sudo) and .venv
	./build.py setup
