# SPDX-License-Identifier: BSD-2-Clause
check_LIBRARIES += tests/unit/tcp/libpair.a
tests_unit_tcp_libpair_a_SOURCES = tests/unit/tcp/pair.h tests/unit/tcp/pair.c \
	tests/unit/tcp/peer.h tests/unit/tcp/peer.c

TCP_TESTS = tests/unit/tcp/test_transfer tests/unit/tcp/test_timers tests/unit/tcp/test_ladder \
	tests/unit/tcp/test_defence tests/unit/tcp/test_path tests/unit/tcp/test_snapshot \
	tests/unit/tcp/test_api tests/unit/tcp/test_idle
check_PROGRAMS += $(TCP_TESTS)
TESTS += $(TCP_TESTS)
QUICK_TESTS += $(TCP_TESTS)
tcp_test_libs = tests/unit/tcp/libpair.a libtcp.la libbase.la $(TEST_LIBS)

tests_unit_tcp_test_transfer_SOURCES = tests/unit/tcp/test_transfer.c
tests_unit_tcp_test_transfer_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_transfer_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_timers_SOURCES = tests/unit/tcp/test_timers.c
tests_unit_tcp_test_timers_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_timers_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_ladder_SOURCES = tests/unit/tcp/test_ladder.c
tests_unit_tcp_test_ladder_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_ladder_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_defence_SOURCES = tests/unit/tcp/test_defence.c
tests_unit_tcp_test_defence_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_defence_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_path_SOURCES = tests/unit/tcp/test_path.c
tests_unit_tcp_test_path_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_path_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_snapshot_SOURCES = tests/unit/tcp/test_snapshot.c
tests_unit_tcp_test_snapshot_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_snapshot_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_api_SOURCES = tests/unit/tcp/test_api.c
tests_unit_tcp_test_api_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_api_LDADD = $(tcp_test_libs)

tests_unit_tcp_test_idle_SOURCES = tests/unit/tcp/test_idle.c
tests_unit_tcp_test_idle_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_tcp_test_idle_LDADD = $(tcp_test_libs)
