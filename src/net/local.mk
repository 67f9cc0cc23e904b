# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libnet.la
libnet_la_SOURCES = \
	src/net/net.h src/net/owner.h src/net/mirror.h src/net/ports.h \
	src/net/arena.h src/net/arena.c src/net/lock.h src/net/lock.c \
	src/net/bits.h src/net/bits.c src/net/tables.h src/net/tables.c \
	src/net/drive.c src/net/input.c src/net/output.c src/net/sock.c src/net/info.c \
	src/net/icmp.c src/net/death.c
