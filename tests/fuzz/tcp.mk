# SPDX-License-Identifier: BSD-2-Clause
# Fuzz targets, and each as a plain program that runs its corpus and some random inputs.
FUZZERS += tests/fuzz/fuzz_segment tests/fuzz/fuzz_options tests/fuzz/fuzz_conn \
	tests/fuzz/fuzz_arena
fuzz_replays = tests/fuzz/replay_segment tests/fuzz/replay_options tests/fuzz/replay_conn \
	tests/fuzz/replay_arena
check_PROGRAMS += $(fuzz_replays)
TESTS += $(fuzz_replays)
QUICK_TESTS += $(fuzz_replays)
EXTRA_DIST += tests/fuzz/corpus/segment tests/fuzz/corpus/options tests/fuzz/corpus/conn \
	tests/fuzz/corpus/arena

tests_fuzz_fuzz_segment_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_segment.c
tests_fuzz_fuzz_segment_LDADD = libwire.la libbase.la
tests_fuzz_fuzz_segment_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_options.c
tests_fuzz_fuzz_options_LDADD = libwire.la libbase.la
tests_fuzz_fuzz_options_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
fuzz_conn_steps = tests/fuzz/fuzz.h tests/fuzz/conn_steps.h tests/fuzz/conn_steps.c
tests_fuzz_fuzz_conn_SOURCES = $(fuzz_conn_steps) tests/fuzz/fuzz_conn.c
tests_fuzz_fuzz_conn_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/packet
tests_fuzz_fuzz_conn_LDADD = tests/packet/libstack.la
tests_fuzz_fuzz_conn_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_arena_SOURCES = $(fuzz_conn_steps) tests/fuzz/fuzz_arena.c
tests_fuzz_fuzz_arena_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/packet
tests_fuzz_fuzz_arena_LDADD = tests/packet/libstack.la
tests_fuzz_fuzz_arena_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

tests_fuzz_replay_segment_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_segment.c tests/fuzz/replay.c
tests_fuzz_replay_segment_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/segment"' -DRANDOM=20000
tests_fuzz_replay_segment_LDADD = libwire.la libbase.la
tests_fuzz_replay_options_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_options.c tests/fuzz/replay.c
tests_fuzz_replay_options_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/options"' -DRANDOM=100000
tests_fuzz_replay_options_LDADD = libwire.la libbase.la
tests_fuzz_replay_conn_SOURCES = $(fuzz_conn_steps) tests/fuzz/fuzz_conn.c tests/fuzz/replay.c
tests_fuzz_replay_conn_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/packet \
	-DCORPUS='"tests/fuzz/corpus/conn"' -DRANDOM=1000
tests_fuzz_replay_conn_LDADD = tests/packet/libstack.la
tests_fuzz_replay_arena_SOURCES = $(fuzz_conn_steps) tests/fuzz/fuzz_arena.c tests/fuzz/replay.c
tests_fuzz_replay_arena_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/packet \
	-DCORPUS='"tests/fuzz/corpus/arena"' -DRANDOM=2000
tests_fuzz_replay_arena_LDADD = tests/packet/libstack.la

# all fuzz targets, in a tree that was configured with --enable-fuzz
fuzz-build: $(FUZZERS)

coverage:
	$(top_srcdir)/dev coverage
.PHONY: fuzz-build coverage
