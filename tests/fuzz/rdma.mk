# SPDX-License-Identifier: BSD-2-Clause
FUZZERS += tests/fuzz/fuzz_rdma
tests_fuzz_fuzz_rdma_SOURCES = tests/fuzz/fuzz_rdma.c
tests_fuzz_fuzz_rdma_LDADD = librdmapure.la libchan.la libbase.la
tests_fuzz_fuzz_rdma_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

check_PROGRAMS += tests/fuzz/replay_rdma
TESTS += tests/fuzz/replay_rdma
QUICK_TESTS += tests/fuzz/replay_rdma
tests_fuzz_replay_rdma_SOURCES = tests/fuzz/fuzz_rdma.c tests/fuzz/replay.c
tests_fuzz_replay_rdma_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/rdma"'
tests_fuzz_replay_rdma_LDADD = librdmapure.la libchan.la libbase.la
EXTRA_DIST += tests/fuzz/corpus/rdma
