# SPDX-License-Identifier: BSD-2-Clause
# Generated once, in the build tree; libproto.la is what src/cm and src/daemon link, libagentproto.la
# only the latter: it need not be in every program.
EXTRA_DIST += proto/control.proto proto/agent.proto
BUILT_SOURCES += proto/control.pb-c.h proto/agent.pb-c.h
CLEANFILES += proto/control.pb-c.h proto/control.pb-c.c proto/agent.pb-c.h proto/agent.pb-c.c
noinst_LTLIBRARIES += libagentproto.la
nodist_libagentproto_la_SOURCES = proto/agent.pb-c.c proto/agent.pb-c.h
libagentproto_la_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
libagentproto_la_LIBADD = $(PROTOBUF_C_LIBS)
noinst_LTLIBRARIES += libproto.la
nodist_libproto_la_SOURCES = proto/control.pb-c.c proto/control.pb-c.h
libproto_la_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)

proto/control.pb-c.h: proto/control.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) -I$(top_srcdir) --c_out=. proto/control.proto
proto/control.pb-c.c: proto/control.pb-c.h
	@:

proto/agent.pb-c.h: proto/agent.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) -I$(top_srcdir) --c_out=. proto/agent.proto
proto/agent.pb-c.c: proto/agent.pb-c.h
	@:
