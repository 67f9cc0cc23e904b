# SPDX-License-Identifier: BSD-2-Clause
shim_tests = tests/unit/sock/test_signal tests/unit/sock/test_target
check_PROGRAMS += $(shim_tests)
TESTS += $(shim_tests)
QUICK_TESTS += $(shim_tests)
tests_unit_sock_test_signal_SOURCES = tests/unit/sock/test_signal.c
tests_unit_sock_test_signal_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_signal_LDADD = $(ready_libs) $(TEST_LIBS)
tests_unit_sock_test_target_SOURCES = tests/unit/sock/test_target.c
tests_unit_sock_test_target_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_target_LDADD = $(ready_libs) $(TEST_LIBS)
