# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libpolicy.la
libpolicy_la_SOURCES = \
	src/policy/policy.h \
	src/policy/value.h src/policy/value.c src/policy/glob.c \
	src/policy/schema.h src/policy/schema.c \
	src/policy/match.h src/policy/match.c \
	src/policy/index.h src/policy/index.c \
	src/policy/resolve.h src/policy/resolve.c \
	src/policy/rules.h src/policy/decide.c src/policy/why.c \
	src/policy/report.h src/policy/report.c \
	src/policy/written.h src/policy/written.c \
	src/policy/read.h src/policy/read.c \
	src/policy/lint.h src/policy/lint.c src/policy/load.c
libpolicy_la_CFLAGS = $(AM_CFLAGS) $(CONFIG_CFLAGS)
libpolicy_la_LIBADD = libbase.la

# the example file and the man page are written from the schema; a test holds them against it
noinst_PROGRAMS += src/policy/document
src_policy_document_SOURCES = src/policy/render.h src/policy/render.c src/policy/document.c
src_policy_document_LDADD = libpolicy.la $(PARSE_LIBS)
docs-policy: src/policy/document
	src/policy/document conf >$(srcdir)/conf/shunt.conf
	src/policy/document man >$(srcdir)/docs/man/shunt.conf.5
.PHONY: docs-policy

man_pages += docs/man/shunt.conf.5
