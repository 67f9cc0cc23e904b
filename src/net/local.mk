# SPDX-License-Identifier: BSD-2-Clause
# What drives a stack; goes into the preloaded library, so it needs no libraries.
noinst_LTLIBRARIES += libnet.la
libnet_la_SOURCES = \
	src/net/net.h src/net/owner.h \
	src/net/arena.h src/net/arena.c src/net/lock.h src/net/lock.c \
	src/net/bits.h src/net/bits.c src/net/tables.h src/net/tables.c \
	src/net/drive.c src/net/input.c src/net/output.c src/net/sock.c src/net/info.c \
	src/net/icmp.c src/net/death.c

# What keeps one: shuntd's side.
noinst_LTLIBRARIES += libnetowner.la
libnetowner_la_SOURCES = \
	src/net/mirror.h \
	src/net/door.h src/net/door.c \
	src/net/ports.h src/net/ports.c
libnetowner_la_CPPFLAGS = $(AM_CPPFLAGS) $(MNL_CFLAGS)
libnetowner_la_LIBADD = $(MNL_LIBS)
if HAVE_MNL
libnetowner_la_SOURCES += src/net/mirror.c src/net/rtnl.h src/net/rtnl.c
else
libnetowner_la_SOURCES += src/net/mirror_none.c
endif
