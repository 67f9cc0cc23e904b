# SPDX-License-Identifier: BSD-2-Clause
ready_tests = tests/unit/sock/test_epoll tests/unit/sock/test_epoll_echo tests/unit/sock/test_poll tests/unit/sock/test_gap tests/unit/sock/test_sleep tests/unit/sock/test_race
ready_rig = tests/unit/sock/rig.h tests/unit/sock/rig.c
ready_libs = libsock.la libcm.la libpolicy.la liblane.la libnet.la libtcp.la libwire.la libqueue.la libchan.la libbase.la $(CONFIG_LIBS)
check_PROGRAMS += $(ready_tests)
TESTS += $(ready_tests)
QUICK_TESTS += $(ready_tests)
tests_unit_sock_test_epoll_SOURCES = tests/unit/sock/test_epoll.c $(ready_rig)
tests_unit_sock_test_epoll_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_epoll_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_epoll_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_epoll_echo_SOURCES = tests/unit/sock/test_epoll_echo.c $(ready_rig)
tests_unit_sock_test_epoll_echo_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_epoll_echo_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_epoll_echo_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_poll_SOURCES = tests/unit/sock/test_poll.c $(ready_rig)
tests_unit_sock_test_poll_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_poll_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_poll_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_gap_SOURCES = tests/unit/sock/test_gap.c $(ready_rig)
tests_unit_sock_test_gap_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_gap_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_gap_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_sleep_SOURCES = tests/unit/sock/test_sleep.c $(ready_rig)
tests_unit_sock_test_sleep_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_sleep_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_sleep_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_race_SOURCES = tests/unit/sock/test_race.c $(ready_rig)
tests_unit_sock_test_race_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_race_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_race_LDADD = $(ready_libs) $(TEST_LIBS)

# ./tests/bench/epoll_bench [CONNECTIONS]...
check_PROGRAMS += tests/bench/epoll_bench
tests_bench_epoll_bench_SOURCES = tests/bench/epoll_bench.c $(ready_rig)
tests_bench_epoll_bench_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_bench_epoll_bench_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_bench_epoll_bench_LDADD = $(ready_libs) $(TEST_LIBS)
