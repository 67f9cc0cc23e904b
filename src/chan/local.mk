# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libchan.la
libchan_la_SOURCES = src/chan/chan.h src/chan/chan.c src/chan/pump.h src/chan/pump.c \
	src/chan/mirror.h
