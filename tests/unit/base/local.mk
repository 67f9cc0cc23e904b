# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/base/test_base
tests_unit_base_test_base_SOURCES = tests/unit/base/test_base.c
tests_unit_base_test_base_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_base_LDADD = libbase.la $(TEST_LIBS)
TESTS += tests/unit/base/test_base
QUICK_TESTS += tests/unit/base/test_base
