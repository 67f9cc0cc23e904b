# SPDX-License-Identifier: BSD-2-Clause
POLICY_TESTS = tests/unit/policy/test_value
check_PROGRAMS += $(POLICY_TESTS)
TESTS += $(POLICY_TESTS)
QUICK_TESTS += $(POLICY_TESTS)

tests_unit_policy_test_value_SOURCES = tests/unit/policy/test_value.c
tests_unit_policy_test_value_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_policy_test_value_LDADD = libpolicy.la $(TEST_LIBS)
