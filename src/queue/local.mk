# SPDX-License-Identifier: BSD-2-Clause
# What drives a queue; goes into the preloaded library, so it needs no libraries.
noinst_LTLIBRARIES += libqueue.la
libqueue_la_SOURCES = \
	src/queue/queue.h src/queue/queue.c \
	src/queue/shared.h src/queue/shared.c \
	src/queue/loop.h src/queue/loop.c
