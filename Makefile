.DEFAULT_GOAL := help
TESTS := ./build.py run python -m tests $(if $(ZEROTIER),--zerotier $(ZEROTIER))
.PHONY: help setup demo check test unit image netns qemu soak cuts bench clean

help:   ## show this list
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 15
	@echo "  IMAGE=rpi-arm64 takes another image for the demo"
	@echo "  CONTROLLER=central-v2 (or central-v1, self-hosted) takes another controller for the demo"
	@echo "  ZEROTIER=DEB tries a real zerotier-one package instead of the lab's stand-in"
setup:  ## install what all of this needs: Debian packages, and .venv
	./build.py setup --all
demo:   ## build the gateway image, boot it in a virtual internet, show that it routes (KEEP=1 leaves it up)
	./build.py demo $(if $(IMAGE),--image $(IMAGE)) $(if $(CONTROLLER),--door $(CONTROLLER)) $(if $(ZEROTIER),--zerotier $(ZEROTIER)) $(if $(KEEP),--keep)
check: setup  ## lint, types and unit tests, in two or three minutes
	$(TESTS) unit
test: setup  ## everything: unit, image, netns and qemu tests
	$(TESTS)
unit image netns qemu:  ## (also by their own names) one tier of the tests
	$(TESTS) $@
soak:   ## what takes long and seldom finds anything; SECONDS=3600: hardships for so long, and docs/reliability.md
	$(TESTS) $(if $(SECONDS),--scenarios $(SECONDS),--soak)
cuts:   ## 200 power cuts of the VPS at random moments, 20 of the Raspberry Pi: ROUNDS of 20, some hours without KVM
	$(TESTS) qemu -- -m scenario -k "test_cuts and not _pi.py" --rounds $(or $(ROUNDS),10)
	$(TESTS) qemu -- -m scenario -k "test_cuts and _pi.py"
	./build.py run python -m lab.reliability --longer
bench:  ## measure builds side by side with mkosi, debos and vmdb2 (RUNS=3 for medians; an hour or so each)
	./build.py bench $(if $(RUNS),--runs $(RUNS)) $(if $(MIRROR),--mirror $(MIRROR))
clean:  ## remove what was built, and the cache
	rm -rf out .cache
