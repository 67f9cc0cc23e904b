# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	src/base/addrtext.h src/base/addrtext.c \
	src/base/err.h src/base/err.c \
	src/base/log.h src/base/log.c \
	src/base/clock.h src/base/clock.c \
	src/base/wheel.h src/base/wheel.c \
	src/base/siphash.h src/base/siphash.c \
	src/base/list.h \
	src/base/ring.h \
	src/base/chanmem.h \
	src/base/util.h \
	src/base/sys.h \
	src/base/sockdiag.h src/base/sockdiag.c \
	src/base/memfd.h src/base/memfd.c \
	src/base/pool.h src/base/pool.c \
	src/base/reach.h src/base/reach.c \
	src/base/space.h src/base/space.c \
	src/base/iov.h src/base/iov.c
