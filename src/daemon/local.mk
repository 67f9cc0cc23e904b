# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libdaemon.la
libdaemon_la_SOURCES = \
	src/daemon/daemon.h src/daemon/daemon.c \
	src/daemon/listener.h src/daemon/listener.c \
	src/daemon/host.h src/daemon/host.c \
	src/daemon/loop.h src/daemon/loop.c \
	src/daemon/client.h src/daemon/client.c \
	src/daemon/out.h src/daemon/out.c \
	src/daemon/report.h src/daemon/report.c \
	src/daemon/stay.h src/daemon/stay.c \
	src/daemon/registry.h src/daemon/registry.c \
	src/daemon/channel.h src/daemon/channel.c \
	src/daemon/proof.h src/daemon/proof.c \
	src/daemon/diag.h src/daemon/diag.c \
	src/daemon/chunk.h src/daemon/chunk.c \
	src/daemon/lent.h src/daemon/lent.c \
	src/daemon/user.h src/daemon/user.c \
	src/daemon/agent.h src/daemon/agent.c \
	src/daemon/asking.h src/daemon/asking.c \
	src/daemon/session.h src/daemon/session.c \
	src/daemon/link.h src/daemon/link.c src/daemon/seal.h \
	src/daemon/table.h src/daemon/table.c \
	src/daemon/letgo.h src/daemon/letgo.c \
	src/daemon/route.h src/daemon/route.c \
	src/daemon/icmp.h src/daemon/icmp.c \
	src/daemon/cage.h src/daemon/cage.c \
	src/daemon/aide.h src/daemon/aide.c \
	src/daemon/keep.h src/daemon/keep.c \
	src/daemon/keeper.h src/daemon/keeper.c \
	src/daemon/lifeline.h src/daemon/lifeline.c \
	src/daemon/stack.h src/daemon/stack.c \
	src/daemon/relay.h src/daemon/relay.c \
	src/daemon/wire.h src/daemon/wire.c
if HAVE_SODIUM
libdaemon_la_SOURCES += src/daemon/seal.c
else
libdaemon_la_SOURCES += src/daemon/seal_none.c
endif
libdaemon_la_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS) $(SODIUM_CFLAGS)
libdaemon_la_LIBADD = libagentproto.la $(PARSE_LIBS) $(SODIUM_LIBS) libremains.la libcm.la liblane.la libchan.la libpolicy.la \
	libnet.la libnetowner.la libtcp.la libwire.la libqueue.la libqueueowner.la

sbin_PROGRAMS += shuntd
shuntd_SOURCES = src/daemon/main.c
shuntd_LDFLAGS = $(LTO_LDFLAGS)
shuntd_LDADD = libdaemon.la
man_pages += docs/man/shuntd.8
EXTRA_DIST += src/daemon/PROTOCOL.md
