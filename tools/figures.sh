#!/bin/sh
# `make figures`: measures what the README's table says and prints the table.
# How it is measured stands in tests/bench/figures.py.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" tests/bench/figures.py "${BUILD:-build}"
