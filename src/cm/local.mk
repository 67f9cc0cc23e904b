# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libcm.la
libcm_la_SOURCES = \
	src/cm/choice.h src/cm/choice.c \
	src/cm/cm.h src/cm/cm.c src/cm/heard.c src/cm/manager.h src/cm/fd.c \
	src/cm/record.h \
	src/cm/ask.h src/cm/ask.c \
	src/cm/counters.h src/cm/counters.c \
	src/cm/cookies.h src/cm/cookies.c \
	src/cm/iface.h src/cm/iface.c \
	src/cm/packet.h src/cm/packet.c \
	src/cm/place.h src/cm/place.c \
	src/cm/uplink.h src/cm/uplink.c \
	src/cm/parts.h src/cm/parts.c \
	src/cm/accepted.h src/cm/wire.h src/cm/wire.c
libcm_la_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
libcm_la_LIBADD = libproto.la

# what only shuntd needs of this room
noinst_LTLIBRARIES += libremains.la
libremains_la_SOURCES = src/cm/remains.h src/cm/remains.c
libremains_la_LIBADD = librdmapure.la
