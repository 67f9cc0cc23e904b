# SPDX-License-Identifier: BSD-2-Clause
# The lane by itself, without the socket layer.
if HAVE_RDMA
check_PROGRAMS += tests/rdma/link
tests_rdma_link_SOURCES = tests/rdma/link.c
tests_rdma_link_LDADD = librdma.la
RDMA_TESTS += tests/rdma/link tests/rdma/lane.py tests/sock/rdma.sh
RDMA_PAIR_TESTS += tests/rdma/faults.py
RDMA_PAIR_EASY_TESTS += tests/rdma/programs.py
endif
EXTRA_DIST += tests/rdma/lane.py tests/rdma/flow.py tests/rdma/faults.py tests/rdma/hosts.py \
	tests/rdma/programs.py tests/rdma/other_version.py tests/sock/rdma.sh
