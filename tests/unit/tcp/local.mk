# SPDX-License-Identifier: BSD-2-Clause
TCP_TESTS = tests/unit/tcp/test_transfer tests/unit/tcp/test_timers
check_PROGRAMS += $(TCP_TESTS)
TESTS += $(TCP_TESTS)
QUICK_TESTS += $(TCP_TESTS)

tcp_test_common = tests/unit/tcp/pair.h tests/unit/tcp/pair.c
tcp_test_libs = libtcp.la libwire.la libbase.la $(TEST_LIBS)

tests_unit_tcp_test_transfer_SOURCES = tests/unit/tcp/test_transfer.c $(tcp_test_common)
tests_unit_tcp_test_transfer_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_transfer_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_timers_SOURCES = tests/unit/tcp/test_timers.c $(tcp_test_common)
tests_unit_tcp_test_timers_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_timers_LDADD = $(tcp_test_libs)
