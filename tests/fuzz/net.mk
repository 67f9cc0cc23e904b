# SPDX-License-Identifier: BSD-2-Clause
# Frames from the wire into a stack.
FUZZERS += tests/fuzz/fuzz_frame
check_PROGRAMS += tests/fuzz/replay_frame
TESTS += tests/fuzz/replay_frame
QUICK_TESTS += tests/fuzz/replay_frame
EXTRA_DIST += tests/fuzz/corpus/frame
fuzz_frame_libs = libnet.la libtcp.la libwire.la libqueue.la libbase.la

tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_frame.c
tests_fuzz_fuzz_frame_LDADD = $(fuzz_frame_libs)
tests_fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

tests_fuzz_replay_frame_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_frame.c tests/fuzz/replay.c
tests_fuzz_replay_frame_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/frame"' -DRANDOM=2000
tests_fuzz_replay_frame_LDADD = $(fuzz_frame_libs)
