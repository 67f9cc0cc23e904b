# SPDX-License-Identifier: BSD-2-Clause
# The library that `shunt run` preloads.
pkglib_LTLIBRARIES += libshunt-preload.la
libshunt_preload_la_SOURCES = \
	shim/data.c \
	shim/libc.h shim/libc.c \
	shim/library.h shim/library.c \
	shim/life.c \
	shim/limit.c \
	shim/main.c \
	shim/memory.c \
	shim/options.c \
	shim/print.c \
	shim/proc.c \
	shim/ready.c \
	shim/shim.h \
	shim/signal.c \
	shim/stdio.c \
	shim/syscall.c \
	shim/table.h
libshunt_preload_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
# -fexceptions: a cancelled thread lets go of what it holds
# -fno-lto: what a program calls by name is a call, as -fno-builtin has it
# fortified headers would put other functions in the place of those that are defined here
libshunt_preload_la_CFLAGS = $(AM_CFLAGS) $(CONFIG_CFLAGS) $(PROTOBUF_C_CFLAGS) -U_FORTIFY_SOURCE -fno-builtin -fno-lto -fexceptions
libshunt_preload_la_LDFLAGS = $(LTO_LDFLAGS) -module -avoid-version -shared \
	-Wl,--version-script=$(top_srcdir)/shim/shunt.map -Wl,-Bsymbolic-functions -Wl,-z,defs
# libbase comes with libpolicy
libshunt_preload_la_LIBADD = libsock.la libcm.la liblane.la libnet.la libtcp.la libwire.la libqueue.la \
	libpolicy.la libchan.la
EXTRA_libshunt_preload_la_DEPENDENCIES = shim/shunt.map
EXTRA_DIST += shim/shunt.map
