# SPDX-License-Identifier: BSD-2-Clause
bin_PROGRAMS += shunt
shunt_SOURCES = \
	src/cli/cli.h src/cli/main.c \
	src/cli/findings.h src/cli/findings.c \
	src/cli/check.c \
	src/cli/explain.c src/cli/lanes.h src/cli/lanes.c \
	src/cli/run.c \
	src/cli/program.h src/cli/program.c \
	src/cli/private.h src/cli/private.c \
	src/cli/stat.c \
	src/cli/snapshot.h src/cli/snapshot.c
shunt_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
shunt_LDADD = libdaemon.la libcm.la liblane.la libpolicy.la libbase.la $(PARSE_LIBS) $(JANSSON_LIBS)

man_pages += docs/man/shunt.1
