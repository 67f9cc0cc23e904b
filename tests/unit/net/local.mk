# SPDX-License-Identifier: BSD-2-Clause
check_LIBRARIES += tests/unit/net/libnetpair.a
tests_unit_net_libnetpair_a_SOURCES = tests/unit/net/pair.h tests/unit/net/pair.c
tests_unit_net_libnetpair_a_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
net_test_libs = tests/unit/net/libnetpair.a libnet.la libtcp.la libwire.la libqueue.la libbase.la $(TEST_LIBS)

NET_UNITS = tests/unit/net/test_stack tests/unit/net/test_shared
check_PROGRAMS += $(NET_UNITS) tests/unit/net/test_faults
TESTS += $(NET_UNITS) tests/unit/net/test_faults
QUICK_TESTS += $(NET_UNITS)

tests_unit_net_test_stack_SOURCES = tests/unit/net/test_stack.c
tests_unit_net_test_stack_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_net_test_stack_LDADD = $(net_test_libs)

tests_unit_net_test_shared_SOURCES = tests/unit/net/test_shared.c
tests_unit_net_test_shared_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_net_test_shared_LDADD = $(net_test_libs)

tests_unit_net_test_faults_SOURCES = tests/unit/net/test_faults.c
tests_unit_net_test_faults_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_net_test_faults_LDADD = $(net_test_libs)
