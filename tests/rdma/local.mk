# SPDX-License-Identifier: BSD-2-Clause
# Tests that need verbs devices: `./dev test rdma` runs those of RDMA_TESTS in one guest of ./dev vm, and
# those of RDMA_PAIR_TESTS in two, each in a pair of its own; the first pair runs those of
# RDMA_PAIR_EASY_TESTS before, which leave the hosts as they were. They can be scripts or programs of the build.
RDMA_TESTS += tests/rdma/smoke.py tests/programs/http_server.py
RDMA_PAIR_TESTS += tests/rdma/two_hosts.py
EXTRA_DIST += $(filter tests/rdma/%.py tests/rdma/%.sh,$(RDMA_TESTS) $(RDMA_PAIR_TESTS)) tests/rdma/run tests/rdma/guest.py
