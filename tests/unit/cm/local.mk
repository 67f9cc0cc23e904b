# SPDX-License-Identifier: BSD-2-Clause
cm_tests = tests/unit/cm/test_counters tests/unit/cm/test_iface tests/unit/cm/test_place \
	tests/unit/cm/test_packet tests/unit/cm/test_cookies tests/unit/cm/test_fd tests/unit/cm/test_drops
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
tests_unit_cm_test_packet_SOURCES = tests/unit/cm/test_packet.c
tests_unit_cm_test_packet_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_cm_test_packet_LDADD = libcm.la libbase.la $(TEST_LIBS)
tests_unit_cm_test_cookies_SOURCES = tests/unit/cm/test_cookies.c
tests_unit_cm_test_cookies_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_cm_test_cookies_LDADD = libcm.la $(TEST_LIBS)
tests_unit_cm_test_fd_SOURCES = tests/unit/cm/test_fd.c
tests_unit_cm_test_fd_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_cm_test_fd_LDADD = libcm.la libbase.la $(TEST_LIBS)
tests_unit_cm_test_drops_SOURCES = tests/unit/cm/test_drops.c
tests_unit_cm_test_drops_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_cm_test_drops_LDADD = libcm.la libbase.la $(TEST_LIBS)
