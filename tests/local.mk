# SPDX-License-Identifier: BSD-2-Clause
# What the tree's own commands are made of; the rooms' tests have their own local.mk.
EXTRA_DIST += \
	tests/dev/lib.sh tests/dev/setup tests/dev/build tests/dev/test tests/dev/lint tests/dev/tap tests/dev/fuzz \
	tests/dev/coverage tests/dev/cmocka tests/dev/alone \
	tests/lint/run tests/lint/self-test tests/lint/tree.py tests/lint/includes.py \
	tests/lint/lengths.py tests/lint/words.py tests/lint/symbols.py
EXTRA_DIST += tests/bench/run tests/bench/machine.py tests/bench/cases.py tests/bench/rounds.py \
	tests/bench/rdma tests/bench/rdma_cases.py
EXTRA_DIST += tests/demo/run tests/demo/demo.py
EXTRA_DIST += tests/vm/run tests/vm/machine.py tests/vm/image.py tests/vm/remote.py tests/vm/init \
	tests/vm/guest tests/vm/vmctl
