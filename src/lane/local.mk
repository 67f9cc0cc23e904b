# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += liblane.la
liblane_la_SOURCES = \
	src/lane/ends.h src/lane/ends.c \
	src/lane/kernel.c \
	src/lane/lane.h src/lane/lane.c \
	src/lane/rdma.c \
	src/lane/shm.c \
	src/lane/tcp.h src/lane/tcp.c
