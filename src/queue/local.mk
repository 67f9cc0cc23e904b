# SPDX-License-Identifier: BSD-2-Clause
# What drives a queue; goes into the preloaded library, so it needs no libraries.
noinst_LTLIBRARIES += libqueue.la
libqueue_la_SOURCES = \
	src/queue/queue.h src/queue/queue.c \
	src/queue/shared.h src/queue/shared.c \
	src/queue/loop.h src/queue/loop.c \
	src/queue/af_packet.h src/queue/af_packet.c \
	src/queue/csum.h src/queue/csum.c \
	src/queue/xsk.h src/queue/xsk.c \
	src/queue/af_xdp.h src/queue/af_xdp.c \
	src/queue/wrap.h src/queue/wrap.c \
	src/queue/fault.h src/queue/fault.c \
	src/queue/capture.h src/queue/capture.c
if HAVE_VERBS
libqueue_la_SOURCES += src/queue/verbs_raw.h src/queue/verbs_raw.c
endif

# What opens one: shuntd's side.
noinst_LTLIBRARIES += libqueueowner.la
libqueueowner_la_SOURCES = \
	src/queue/owner.h src/queue/owner.c \
	src/queue/device.h src/queue/device.c
libqueueowner_la_CFLAGS = $(AM_CFLAGS) $(XDP_CFLAGS)
libqueueowner_la_LIBADD =
EXTRA_DIST += src/queue/steer.bpf.h src/queue/packet.bpf.c src/queue/xdp.bpf.c
if HAVE_XDP
libqueueowner_la_SOURCES += \
	src/queue/steer.h src/queue/steer.c src/queue/image.S \
	src/queue/tc.h src/queue/tc.c \
	src/queue/xdp_attach.h src/queue/xdp_attach.c \
	src/queue/af_packet_open.c src/queue/af_xdp_open.c
libqueueowner_la_LIBADD += $(XDP_LIBS)

BPF_OBJECTS = src/queue/packet.bpf.o src/queue/xdp.bpf.o
CLEANFILES += $(BPF_OBJECTS)
# by a variable: automake takes a plain target for the rule itself
IMAGE_LO = src/queue/image.lo
$(IMAGE_LO): $(BPF_OBJECTS)
$(BPF_OBJECTS): $(srcdir)/src/queue/steer.bpf.h
src/queue/%.bpf.o: $(srcdir)/src/queue/%.bpf.c
	$(AM_V_GEN)$(MKDIR_P) src/queue && $(BPF_CLANG) $(BPF_CFLAGS) -I$(srcdir)/src -c $< -o $@
endif
if HAVE_VERBS
libqueueowner_la_SOURCES += src/queue/verbs_raw_open.c src/queue/verbs_calls.c
libqueueowner_la_LIBADD += $(VERBS_LIBS)
endif
