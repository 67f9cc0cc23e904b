# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libsock.la
libsock_la_SOURCES = \
	src/sock/claim.c \
	src/sock/conn.h src/sock/conn.c \
	src/sock/end.h src/sock/end.c \
	src/sock/fdtab.h src/sock/fdtab.c \
	src/sock/lock.h src/sock/lock.c \
	src/sock/move.h src/sock/move.c \
	src/sock/peer.c \
	src/sock/real.h \
	src/sock/rx.c \
	src/sock/self.h \
	src/sock/sock.h \
	src/sock/spin.h src/sock/spin.c \
	src/sock/thread.h \
	src/sock/tx.c \
	src/sock/wait.c
