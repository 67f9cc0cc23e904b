# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libsock.la
# -fexceptions: a cancelled thread is not counted as asleep for ever
libsock_la_CFLAGS = $(AM_CFLAGS) -fexceptions
libsock_la_SOURCES = \
	src/sock/carrier.h src/sock/carrier_kernel.c \
	src/sock/claim.c \
	src/sock/conn.h src/sock/conn.c \
	src/sock/end.h src/sock/end.c \
	src/sock/epoll.h src/sock/epoll_set.h \
	src/sock/epoll_ctl.c \
	src/sock/epoll_adopt.c \
	src/sock/epoll_family.c src/sock/epoll_said.c \
	src/sock/epoll_kernel.c \
	src/sock/epoll_nest.c \
	src/sock/epoll_set.c \
	src/sock/epoll_wait.c \
	src/sock/epoll_walk.c \
	src/sock/exec.c \
	src/sock/fdtab.h src/sock/fdtab.c \
	src/sock/file.c \
	src/sock/fork.h src/sock/fork.c src/sock/holders.h src/sock/holders.c \
	src/sock/info.h src/sock/info.c \
	src/sock/init.c \
	src/sock/leave.c \
	src/sock/lock.h src/sock/lock.c \
	src/sock/mirror.h src/sock/mirror.c \
	src/sock/move.h src/sock/move.c \
	src/sock/number.c \
	src/sock/opts.c \
	src/sock/pass.c \
	src/sock/require.h src/sock/require.c \
	src/sock/peer.c \
	src/sock/poll.c \
	src/sock/ready.h \
	src/sock/real.h src/sock/real.c \
	src/sock/rx.c \
	src/sock/seal.c \
	src/sock/select.c \
	src/sock/self.h \
	src/sock/signal.c \
	src/sock/sock.h \
	src/sock/spin.h src/sock/spin.c \
	src/sock/target.h src/sock/target.c \
	src/sock/thread.h src/sock/thread.c \
	src/sock/tx.c \
	src/sock/wait.c \
	src/sock/wire.h src/sock/wire.c src/sock/wire_open.c \
	src/sock/wire_dress.c src/sock/wire_relay.c
