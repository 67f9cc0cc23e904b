# SPDX-License-Identifier: BSD-2-Clause
# A stack over AF_PACKET between two namespaces: needs root.
check_LIBRARIES += tests/net/libnetrig.a
tests_net_libnetrig_a_SOURCES = tests/net/rig.h tests/net/rig.c tests/net/program.h
tests_net_libnetrig_a_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
net_rig_libs = tests/net/libnetrig.a libnetowner.la libnet.la libtcp.la libwire.la libqueueowner.la libqueue.la libbase.la $(TEST_LIBS)

NET_TESTS = tests/net/kernel tests/net/change tests/net/many
check_PROGRAMS += $(NET_TESTS)
TESTS += $(NET_TESTS)

tests_net_kernel_SOURCES = tests/net/kernel.c
tests_net_kernel_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_net_kernel_LDADD = $(net_rig_libs)

tests_net_change_SOURCES = tests/net/change.c
tests_net_change_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_net_change_LDADD = $(net_rig_libs)

tests_net_many_SOURCES = tests/net/many.c
tests_net_many_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_net_many_LDADD = $(net_rig_libs)
