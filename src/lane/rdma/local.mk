# SPDX-License-Identifier: BSD-2-Clause
# What can be tested and fuzzed without verbs.
noinst_LTLIBRARIES += librdmapure.la
librdmapure_la_SOURCES = \
	src/lane/rdma/wire.h src/lane/rdma/wire.c \
	src/lane/rdma/mirror.h src/lane/rdma/mirror.c
EXTRA_DIST += src/lane/rdma/PROTOCOL.md

# The module that the preloaded library loads when a connection may use the lane.
RDMA_SOURCES = \
	src/lane/rdma/chans.c \
	src/lane/rdma/fds.c \
	src/lane/rdma/hub.c \
	src/lane/rdma/lane.c \
	src/lane/rdma/link.h src/lane/rdma/link.c \
	src/lane/rdma/meet.c \
	src/lane/rdma/module.h \
	src/lane/rdma/poll.c \
	src/lane/rdma/state.h
EXTRA_DIST += $(RDMA_SOURCES)
if HAVE_RDMA
noinst_LTLIBRARIES += librdma.la
librdma_la_SOURCES = $(RDMA_SOURCES)
librdma_la_CFLAGS = $(AM_CFLAGS) $(RDMA_CFLAGS)
librdma_la_LIBADD = librdmapure.la libchan.la libbase.la $(RDMA_LIBS)

pkglib_LTLIBRARIES += libshunt-rdma.la
libshunt_rdma_la_SOURCES =
libshunt_rdma_la_LIBADD = librdma.la
libshunt_rdma_la_LDFLAGS = $(LTO_LDFLAGS) -module -avoid-version -shared \
	-Wl,--version-script=$(top_srcdir)/src/lane/rdma/module.map -Wl,-z,defs
EXTRA_libshunt_rdma_la_DEPENDENCIES = src/lane/rdma/module.map
endif
EXTRA_DIST += src/lane/rdma/module.map
