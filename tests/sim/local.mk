# SPDX-License-Identifier: BSD-2-Clause
# The simulator: random lives of connections, and the table of goodput with its snapshot.
check_LTLIBRARIES += tests/sim/libsim.la
tests_sim_libsim_la_SOURCES = \
	tests/sim/link.h tests/sim/link.c \
	tests/sim/node.h tests/sim/node.c \
	tests/sim/rng.h \
	tests/sim/sim.h tests/sim/sim.c
tests_sim_libsim_la_LIBADD = libtcp.la libwire.la libbase.la

check_PROGRAMS += tests/sim/random_runs tests/sim/goodput
tests_sim_random_runs_SOURCES = tests/sim/random_runs.c
tests_sim_random_runs_LDADD = tests/sim/libsim.la
tests_sim_goodput_SOURCES = tests/sim/goodput.c
tests_sim_goodput_LDADD = tests/sim/libsim.la
EXTRA_DIST += tests/sim/goodput.txt
TESTS += tests/sim/random_runs tests/sim/goodput
# a table of numbers: random_runs takes the same paths
NO_SANITIZER_TESTS += tests/sim/goodput
NO_THREAD_TESTS += tests/sim/random_runs

# Writes the table anew, after a change that is meant to move it.
goodput-snapshot: tests/sim/goodput
	tests/sim/goodput --update >$(srcdir)/tests/sim/goodput.txt
.PHONY: goodput-snapshot
