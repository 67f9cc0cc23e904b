# SPDX-License-Identifier: BSD-2-Clause
bin_PROGRAMS += src/cli/shunt
src_cli_shunt_SOURCES = \
	src/cli/cli.h src/cli/main.c
src_cli_shunt_LDADD = libbase.la
