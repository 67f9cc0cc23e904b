# SPDX-License-Identifier: BSD-2-Clause
# Packet scripts, their runner, and the plug by which packetdrill itself drives the engine.
check_LTLIBRARIES += tests/packet/libstack.la tests/packet/libshunt_packetdrill.la
tests_packet_libstack_la_SOURCES = \
	tests/packet/stack.h tests/packet/stack_in.h \
	tests/packet/stack.c tests/packet/stack_opt.c tests/packet/stack_sock.c \
	tests/packet/sysctl.c
tests_packet_libstack_la_LIBADD = libtcp.la libwire.la libbase.la

tests_packet_libshunt_packetdrill_la_SOURCES = tests/packet/packetdrill_abi.h tests/packet/plug.h \
	tests/packet/plug.c tests/packet/plug_code.c tests/packet/plug_epoll.c tests/packet/plug_pipe.c
tests_packet_libshunt_packetdrill_la_LIBADD = tests/packet/libstack.la
# -rpath makes libtool build it shared though it is never installed
tests_packet_libshunt_packetdrill_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

check_PROGRAMS += tests/packet/runner tests/packet/test_plug
tests_packet_runner_SOURCES = \
	tests/packet/call.c \
	tests/packet/check.c \
	tests/packet/config.c \
	tests/packet/constants.h tests/packet/constants.c \
	tests/packet/flow.h tests/packet/flow.c \
	tests/packet/lex.h tests/packet/lex.c \
	tests/packet/main.c \
	tests/packet/parse.c \
	tests/packet/parse_packet.h tests/packet/parse_packet.c \
	tests/packet/run.h tests/packet/run.c \
	tests/packet/script.h
tests_packet_runner_LDADD = tests/packet/libstack.la

tests_packet_test_plug_SOURCES = tests/packet/test_plug.c
tests_packet_test_plug_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_packet_test_plug_LDADD = libwire.la libbase.la $(TEST_LIBS)
EXTRA_tests_packet_test_plug_DEPENDENCIES = tests/packet/libshunt_packetdrill.la

TESTS += tests/packet/runner tests/packet/test_plug
QUICK_TESTS += tests/packet/runner tests/packet/test_plug
EXTRA_DIST += docs/packet-scripts.md \
	tests/packet/acks tests/packet/closing tests/packet/data tests/packet/defence \
	tests/packet/ecn tests/packet/fastopen tests/packet/handshake tests/packet/info tests/packet/loss \
	tests/packet/options tests/packet/pmtu tests/packet/timers tests/packet/urgent \
	tests/packet/windows
