# SPDX-License-Identifier: BSD-2-Clause
FUZZERS += tests/fuzz/fuzz_control
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c
tests_fuzz_fuzz_control_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_fuzz_fuzz_control_LDADD = libdaemon.la
tests_fuzz_fuzz_control_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

# the corpus, and what fuzzing found, without a fuzzer
check_PROGRAMS += tests/fuzz/replay_control
TESTS += tests/fuzz/replay_control
QUICK_TESTS += tests/fuzz/replay_control
tests_fuzz_replay_control_SOURCES = tests/fuzz/fuzz_control.c tests/fuzz/replay.c
tests_fuzz_replay_control_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/control"'
tests_fuzz_replay_control_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_fuzz_replay_control_LDADD = libdaemon.la
EXTRA_DIST += tests/fuzz/corpus/control
