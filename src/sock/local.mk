# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libsock.la
libsock_la_SOURCES = \
	src/sock/claim.c \
	src/sock/conn.h src/sock/conn.c \
	src/sock/end.h src/sock/end.c \
	src/sock/epoll.h src/sock/epoll_set.h \
	src/sock/epoll_ctl.c \
	src/sock/epoll_family.c \
	src/sock/epoll_kernel.c \
	src/sock/epoll_set.c \
	src/sock/epoll_wait.c \
	src/sock/epoll_walk.c \
	src/sock/fdtab.h src/sock/fdtab.c \
	src/sock/lock.h src/sock/lock.c \
	src/sock/move.h src/sock/move.c \
	src/sock/peer.c \
	src/sock/poll.c \
	src/sock/ready.h \
	src/sock/real.h \
	src/sock/rx.c \
	src/sock/select.c \
	src/sock/self.h \
	src/sock/sock.h \
	src/sock/spin.h src/sock/spin.c \
	src/sock/thread.h \
	src/sock/tx.c \
	src/sock/wait.c
