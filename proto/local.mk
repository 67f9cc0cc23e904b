# SPDX-License-Identifier: BSD-2-Clause
# Generated once, in the build tree; libproto.la is what src/cm and src/daemon link.
EXTRA_DIST += proto/control.proto
BUILT_SOURCES += proto/control.pb-c.h
CLEANFILES += proto/control.pb-c.h proto/control.pb-c.c
noinst_LTLIBRARIES += libproto.la
nodist_libproto_la_SOURCES = proto/control.pb-c.c proto/control.pb-c.h
libproto_la_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
libproto_la_LIBADD = $(PROTOBUF_C_LIBS)

proto/control.pb-c.h: proto/control.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) -I$(top_srcdir) --c_out=. proto/control.proto
proto/control.pb-c.c: proto/control.pb-c.h
	@:
