# SPDX-License-Identifier: BSD-2-Clause
bin_PROGRAMS += src/cli/shunt
src_cli_shunt_SOURCES = \
	src/cli/cli.h src/cli/main.c \
	src/cli/findings.h src/cli/findings.c \
	src/cli/check.c \
	src/cli/explain.c src/cli/lanes.h src/cli/lanes.c
src_cli_shunt_LDADD = libcm.la liblane.la libpolicy.la libbase.la

dist_man_MANS += docs/man/shunt.1
