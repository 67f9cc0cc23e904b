# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libpolicy.la
libpolicy_la_SOURCES = \
	src/policy/policy.h \
	src/policy/value.h src/policy/value.c src/policy/glob.c
libpolicy_la_CFLAGS = $(AM_CFLAGS) $(CONFIG_CFLAGS)
libpolicy_la_LIBADD = libbase.la $(CONFIG_LIBS)
