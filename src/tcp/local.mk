# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libtcp.la
libtcp_la_SOURCES = \
	src/tcp/tcp.h src/tcp/conn.h src/tcp/engine.c src/tcp/api.c src/tcp/options.c src/tcp/snapshot.h \
	src/tcp/snapshot.c \
	src/tcp/arena.h src/tcp/arena.c src/tcp/span.h src/tcp/span.c \
	src/tcp/machine.h src/tcp/machine.c src/tcp/timers.h src/tcp/timers.c \
	src/tcp/demux.h src/tcp/demux.c src/tcp/isn.h src/tcp/isn.c src/tcp/cookie.h src/tcp/cookie.c \
	src/tcp/input.h src/tcp/input.c src/tcp/input_listen.c src/tcp/input_syn.c src/tcp/input_ack.c \
	src/tcp/receive.h src/tcp/receive.c src/tcp/ooo.h src/tcp/ooo.c src/tcp/icmp.c \
	src/tcp/emit.h src/tcp/emit.c src/tcp/output.c src/tcp/retransmit.c \
	src/tcp/ack.h src/tcp/scoreboard.c src/tcp/rack.c src/tcp/recovery.c src/tcp/rtt.c src/tcp/rate.c \
	src/tcp/cc.h src/tcp/cc.c src/tcp/hystart.c src/tcp/cc_newreno.c src/tcp/cc_cubic.c src/tcp/cc_bbr.c \
	src/tcp/mtu.h src/tcp/mtu.c src/tcp/fastopen.h src/tcp/fastopen.c
