# SPDX-License-Identifier: BSD-2-Clause
# Load programs of ./dev bench. They are built by make, so that they do not rot, and never installed.
noinst_PROGRAMS += tests/bench/pingpong tests/bench/stream tests/bench/decide
tests_bench_pingpong_SOURCES = tests/bench/pingpong.c tests/bench/load.c tests/bench/load.h
tests_bench_pingpong_LDADD = libbase.la
tests_bench_stream_SOURCES = tests/bench/stream.c tests/bench/load.c tests/bench/load.h
tests_bench_stream_LDADD = libbase.la
tests_bench_decide_SOURCES = tests/bench/decide.c tests/bench/load.c tests/bench/load.h
tests_bench_decide_LDADD = libpolicy.la libbase.la
dist_check_SCRIPTS += tests/bench/smoke.sh
TESTS += tests/bench/smoke.sh
