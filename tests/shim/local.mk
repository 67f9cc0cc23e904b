# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/shim/passthrough
tests_shim_passthrough_SOURCES = tests/shim/passthrough.h tests/shim/passthrough.c \
	tests/shim/passthrough_alone.c
tests_shim_passthrough_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) -I$(top_srcdir)/tests/shim
tests_shim_passthrough_CFLAGS = $(AM_CFLAGS) -U_FORTIFY_SOURCE -fno-builtin -O1

dist_check_SCRIPTS += tests/shim/passthrough.sh tests/shim/table.py
EXTRA_DIST += docs/shim-table.md
TESTS += tests/shim/passthrough.sh tests/shim/table.py
QUICK_TESTS += tests/shim/passthrough.sh tests/shim/table.py
