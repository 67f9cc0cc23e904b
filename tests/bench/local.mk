# SPDX-License-Identifier: BSD-2-Clause
# Load programs of ./dev bench. They are built by make, so that they do not rot, and never installed.
noinst_PROGRAMS += tests/bench/pingpong tests/bench/stream tests/bench/decide \
	tests/bench/connects
tests_bench_pingpong_SOURCES = tests/bench/pingpong.c tests/bench/load.c tests/bench/load.h
tests_bench_pingpong_LDADD = libbase.la
tests_bench_stream_SOURCES = tests/bench/stream.c tests/bench/load.c tests/bench/load.h
tests_bench_stream_LDADD = libbase.la
tests_bench_connects_SOURCES = tests/bench/connects.c tests/bench/load.c tests/bench/load.h
tests_bench_connects_LDADD = libbase.la
tests_bench_decide_SOURCES = tests/bench/decide.c tests/bench/load.c tests/bench/load.h
tests_bench_decide_LDADD = libpolicy.la libbase.la $(PARSE_LIBS)
dist_check_SCRIPTS += tests/bench/smoke.sh
TESTS += tests/bench/smoke.sh

# the TCP engine beside lwIP, which comes as a module because its names are the same as ours
noinst_PROGRAMS += tests/bench/tcp_bench
tests_bench_tcp_bench_SOURCES = tests/bench/tcp_bench.c tests/bench/tcp_shunt.c \
	tests/bench/tcp_shunt.h tests/bench/tcp_engine.h
tests_bench_tcp_bench_CPPFLAGS = $(AM_CPPFLAGS) \
	-DBENCH_LWIP='"$(abs_builddir)/tests/bench/.libs/tcp_lwip.so"'
tests_bench_tcp_bench_LDFLAGS = $(LTO_LDFLAGS)
tests_bench_tcp_bench_LDADD = libtcp.la libwire.la libbase.la -ldl
if HAVE_LWIP
noinst_LTLIBRARIES += tests/bench/tcp_lwip.la
tests_bench_tcp_lwip_la_SOURCES = tests/bench/tcp_lwip.c tests/bench/tcp_engine.h
tests_bench_tcp_lwip_la_CPPFLAGS = $(AM_CPPFLAGS) -isystem /usr/include/lwip
tests_bench_tcp_lwip_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
tests_bench_tcp_lwip_la_LIBADD = -llwip
endif

# two hosts on one machine: ./dev bench wire
noinst_PROGRAMS += tests/bench/wire
tests_bench_wire_SOURCES = tests/bench/wire.c
tests_bench_wire_LDFLAGS = $(LTO_LDFLAGS)
tests_bench_wire_LDADD = libnetowner.la libnet.la libtcp.la libwire.la libqueueowner.la libqueue.la libbase.la

# bare frames by each door: ./dev bench wire/frames
noinst_PROGRAMS += tests/bench/frames
tests_bench_frames_SOURCES = tests/bench/frames.c
tests_bench_frames_LDFLAGS = $(LTO_LDFLAGS)
tests_bench_frames_LDADD = libqueueowner.la libqueue.la libbase.la
