# SPDX-License-Identifier: BSD-2-Clause
FUZZERS += tests/fuzz/fuzz_agent
tests_fuzz_fuzz_agent_SOURCES = tests/fuzz/fuzz_agent.c
tests_fuzz_fuzz_agent_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_fuzz_fuzz_agent_LDADD = libdaemon.la
tests_fuzz_fuzz_agent_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

check_PROGRAMS += tests/fuzz/replay_agent
TESTS += tests/fuzz/replay_agent
QUICK_TESTS += tests/fuzz/replay_agent
tests_fuzz_replay_agent_SOURCES = tests/fuzz/fuzz_agent.c tests/fuzz/replay.c
tests_fuzz_replay_agent_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/agent"'
tests_fuzz_replay_agent_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_fuzz_replay_agent_LDADD = libdaemon.la
EXTRA_DIST += tests/fuzz/corpus/agent
