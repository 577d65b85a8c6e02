# The two commands that matter on a fresh Debian 12 machine, as root:
#   make demo PACKAGE=six      one real job: installs what is missing, builds the image, prints the report
#   make test                  lint, types and all tests, with real machines and a real RabbitMQ
# `make setup` is the part that both share; BROKER=rabbitmq runs the demo over a private RabbitMQ node.

SHELL := /bin/bash
PACKAGE ?= six
BROKER ?= none
PYTHON ?= /usr/bin/python3
BIN := .venv/bin
PYTEST_FLAGS ?=

APT_PACKAGES := python3-venv python3-dev gcc pkg-config libvirt-dev libvirt-daemon-system libvirt-clients \
	qemu-system-x86 qemu-utils mmdebstrap e2fsprogs strace rabbitmq-server

.PHONY: setup demo test lint types units systems format schemas clean

setup: .venv/.installed .venv/.apt
	deploy/start-services.sh
	$(BIN)/pyti image build --if-missing

.venv/.apt:
	deploy/install-packages.sh $(APT_PACKAGES)
	@mkdir -p .venv && touch $@

.venv/.installed: setup.cfg pyproject.toml | .venv/.apt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup
ifeq ($(BROKER),rabbitmq)
	$(BIN)/python examples/rabbitmq_demo.py $(PACKAGE)
else
	$(BIN)/pyti test $(PACKAGE)
endif

test: setup lint types
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.installed
	$(BIN)/mypy

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: .venv/.installed
	$(BIN)/pyti schemas export

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
