# SPDX-License-Identifier: BSD-2-Clause
cm_tests = tests/unit/cm/test_counters tests/unit/cm/test_iface tests/unit/cm/test_place
check_PROGRAMS += $(cm_tests)
TESTS += $(cm_tests)
QUICK_TESTS += $(cm_tests)
tests_unit_cm_test_counters_SOURCES = tests/unit/cm/test_counters.c
tests_unit_cm_test_counters_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cm_test_counters_LDADD = libcm.la $(TEST_LIBS)
tests_unit_cm_test_iface_SOURCES = tests/unit/cm/test_iface.c
tests_unit_cm_test_iface_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cm_test_iface_LDADD = libcm.la $(TEST_LIBS)
tests_unit_cm_test_place_SOURCES = tests/unit/cm/test_place.c
tests_unit_cm_test_place_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cm_test_place_LDADD = libcm.la $(TEST_LIBS)
