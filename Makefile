# Everything that there is to do, by name. All recipes work from any path, with spaces too.

PYTHON := .venv/bin/python
GENERATED := control/api/v1

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: setup-lab  ## the main job, live: HTTP through XDP while backend and node die (root)
	@$(PYTHON) -m vagrant.demo

lab: setup-lab  ## bring the lab up and leave it up, MODE=dr or MODE=nat, EMPTY=1 (root)
	@$(PYTHON) -m vagrant.lab up --mode $(or $(MODE),dr) $(if $(EMPTY),--empty)

lab-down: setup-lab  ## remove the lab (root)
	@$(PYTHON) -m vagrant.lab down

test: setup-dev  ## all tests; those that need root are skipped without it
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadfile -m "not alone and not waiting"
	@$(PYTHON) -m pytest --numprocesses 3 --dist loadfile -m "waiting and not alone" tests/netns
	@$(PYTHON) -m pytest -m alone tests/netns

deb: setup-lab  ## make a Debian package of this checkout, in dist
	@deploy/debian/build

test-deb: setup-dev deb  ## install, upgrade and purge that package under a real systemd (root)
	@GUIDEWAY_REQUIRE=deb $(PYTHON) -m pytest tests/deb

test-vm: setup-lab deb  ## all of it on Debian's own kernel, in emulated machines (root; slow)
	@$(PYTHON) -m tests.vm $(PART)

fuzz: setup-dev  ## compare program and model on ever more packets, SECONDS=300 (root)
	@$(PYTHON) -m tests.packet.fuzz "$(or $(SECONDS),300)"

fuzz-vrrp: setup-dev  ## send damaged advertisements through all that reads them, SECONDS=300
	@$(PYTHON) -m tests.support.vrrp_fuzzer "$(or $(SECONDS),300)"

bench: setup-dev  ## measure table, program and forwarding, with baselines (root; 5 minutes)
	@$(PYTHON) -m bench.table
	@$(PYTHON) -m bench.packet_cost
	@$(PYTHON) -m bench.forwarding

chaos: setup-dev  ## kill, reload and upgrade guidewayd under load, SECONDS=120 SEED=… (root)
	@$(PYTHON) -m bench.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

failover: setup-dev  ## measure failover of a VIP, with keepalived beside it (root; 10 minutes)
	@$(PYTHON) -m bench.failover

bench-health: setup-dev  ## measure 10,000 backends checked by one core (root; 2 minutes)
	@$(PYTHON) -m bench.health

bench-control: setup-dev  ## measure guidewayd with 1,024 services, against its targets (root; 3 minutes)
	@$(PYTHON) -m bench.control

steadiness: setup-dev  ## VRRP at 10 ms on a busy machine, for MINUTES=10 (root)
	@$(PYTHON) -m bench.steadiness --minutes $(or $(MINUTES),10)

figures: setup-dev  ## measure and draw the Maglev paper's figures into docs/figures
	@$(PYTHON) -m bench.figures

check: lint types contracts generated  ## what a change has to pass besides the tests

lint: setup-dev  ## style, by ruff; shell scripts and the Vagrantfile where shellcheck and ruby are
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR deploy/setup .ci/run \
		deploy/debian/build deploy/debian/p*inst deploy/debian/p*rm vagrant/provision/*.sh; fi
	@if command -v ruby >/dev/null; then ruby -wc vagrant/Vagrantfile >/dev/null; fi

types: setup-dev  ## mypy --strict
	@$(PYTHON) -m mypy

contracts: setup-dev  ## who may import whom, by import-linter
	@.venv/bin/lint-imports --no-cache

proto: setup-dev  ## generate the API's code from the .proto files
	@PATH=".venv/bin:$$PATH" $(PYTHON) -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. \
		--mypy_out=. --mypy_grpc_out=. $(wildcard $(GENERATED)/*.proto)

generated: proto  ## generated files are what their source makes of them
	@git diff --exit-code --stat -- $(GENERATED)
	@git ls-files --others --exclude-standard -- $(GENERATED) | (! grep .)

format: setup-dev  ## let ruff format the code
	@$(PYTHON) -m ruff format .

setup-lab:
	@deploy/setup lab

setup-dev:
	@deploy/setup dev,lab

.PHONY: help demo lab lab-down test deb test-deb test-vm fuzz fuzz-vrrp bench bench-control chaos failover steadiness bench-health figures check lint types contracts proto generated format setup-lab setup-dev
