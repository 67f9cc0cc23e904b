# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libwire.la
libwire_la_SOURCES = \
	src/wire/addr.h \
	src/wire/bytes.h \
	src/wire/csum.h src/wire/csum.c \
	src/wire/csum_x86.h src/wire/csum_x86.c \
	src/wire/eth.h src/wire/eth.c \
	src/wire/icmp.h src/wire/icmp.c \
	src/wire/ip.h src/wire/ip.c \
	src/wire/options.h src/wire/options.c \
	src/wire/packet.h src/wire/packet.c \
	src/wire/segment.h \
	src/wire/text.h src/wire/text.c
