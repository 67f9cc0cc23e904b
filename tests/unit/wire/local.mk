# SPDX-License-Identifier: BSD-2-Clause
wire_tests = tests/unit/wire/test_csum tests/unit/wire/test_ip tests/unit/wire/test_segment
check_PROGRAMS += $(wire_tests)
TESTS += $(wire_tests)
QUICK_TESTS += $(wire_tests)

tests_unit_wire_test_csum_SOURCES = tests/unit/wire/test_csum.c
tests_unit_wire_test_csum_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_wire_test_csum_LDADD = libwire.la libbase.la $(TEST_LIBS)

tests_unit_wire_test_ip_SOURCES = tests/unit/wire/test_ip.c
tests_unit_wire_test_ip_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_wire_test_ip_LDADD = libwire.la libbase.la $(TEST_LIBS)

tests_unit_wire_test_segment_SOURCES = tests/unit/wire/test_segment.c
tests_unit_wire_test_segment_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_wire_test_segment_LDADD = libwire.la libbase.la $(TEST_LIBS)
