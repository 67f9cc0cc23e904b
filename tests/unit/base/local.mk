# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/base/test_base
tests_unit_base_test_base_SOURCES = tests/unit/base/test_base.c
tests_unit_base_test_base_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_base_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_base
QUICK_TESTS += tests/unit/base/test_base

check_PROGRAMS += tests/unit/base/test_wheel
tests_unit_base_test_wheel_SOURCES = tests/unit/base/test_wheel.c
tests_unit_base_test_wheel_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_wheel_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_wheel
QUICK_TESTS += tests/unit/base/test_wheel

check_PROGRAMS += tests/unit/base/test_siphash
tests_unit_base_test_siphash_SOURCES = tests/unit/base/test_siphash.c
tests_unit_base_test_siphash_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_siphash_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_siphash
QUICK_TESTS += tests/unit/base/test_siphash

check_PROGRAMS += tests/unit/base/test_iov
tests_unit_base_test_iov_SOURCES = tests/unit/base/test_iov.c
tests_unit_base_test_iov_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_iov_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_iov
QUICK_TESTS += tests/unit/base/test_iov

check_PROGRAMS += tests/unit/base/test_reach
tests_unit_base_test_reach_SOURCES = tests/unit/base/test_reach.c
tests_unit_base_test_reach_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_reach_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_reach
QUICK_TESTS += tests/unit/base/test_reach

check_PROGRAMS += tests/unit/base/test_space
tests_unit_base_test_space_SOURCES = tests/unit/base/test_space.c
tests_unit_base_test_space_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_space_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_space
QUICK_TESTS += tests/unit/base/test_space
