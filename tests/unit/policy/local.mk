# SPDX-License-Identifier: BSD-2-Clause
POLICY_TESTS = \
	tests/unit/policy/test_value \
	tests/unit/policy/test_load \
	tests/unit/policy/test_decide_property
check_PROGRAMS += $(POLICY_TESTS)
TESTS += $(POLICY_TESTS)
QUICK_TESTS += $(POLICY_TESTS)

tests_unit_policy_test_value_SOURCES = tests/unit/policy/test_value.c
tests_unit_policy_test_value_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_policy_test_value_LDADD = libpolicy.la $(TEST_LIBS)

tests_unit_policy_test_load_SOURCES = \
	tests/unit/policy/config_text.h tests/unit/policy/test_load.c
tests_unit_policy_test_load_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_policy_test_load_LDADD = libpolicy.la $(TEST_LIBS)

tests_unit_policy_test_decide_property_SOURCES = \
	tests/unit/policy/config_text.h tests/unit/policy/test_decide_property.c
tests_unit_policy_test_decide_property_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_policy_test_decide_property_LDADD = libpolicy.la $(TEST_LIBS)

POLICY_SH = tests/unit/policy/test_documents.sh
dist_check_SCRIPTS += $(POLICY_SH)
TESTS += $(POLICY_SH)
QUICK_TESTS += $(POLICY_SH)
