# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/lane/test_lane
tests_unit_lane_test_lane_SOURCES = tests/unit/lane/test_lane.c
tests_unit_lane_test_lane_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_lane_test_lane_LDADD = liblane.la libnet.la libtcp.la libwire.la libqueue.la libchan.la libbase.la $(TEST_LIBS)
TESTS += tests/unit/lane/test_lane
QUICK_TESTS += tests/unit/lane/test_lane

check_PROGRAMS += tests/unit/lane/rdma/test_mirror
tests_unit_lane_rdma_test_mirror_SOURCES = tests/unit/lane/rdma/test_mirror.c
tests_unit_lane_rdma_test_mirror_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_lane_rdma_test_mirror_LDADD = libremains.la librdmapure.la libchan.la libbase.la $(TEST_LIBS)
TESTS += tests/unit/lane/rdma/test_mirror
QUICK_TESTS += tests/unit/lane/rdma/test_mirror
