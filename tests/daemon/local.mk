# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/daemon/test_claim
tests_daemon_test_claim_SOURCES = tests/daemon/test_claim.c tests/daemon/rig.h tests/daemon/rig.c
tests_daemon_test_claim_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_claim_LDADD = libdaemon.la $(TEST_LIBS)
TESTS += tests/daemon/test_claim
QUICK_TESTS += tests/daemon/test_claim
