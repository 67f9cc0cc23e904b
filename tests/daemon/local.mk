# SPDX-License-Identifier: BSD-2-Clause
DAEMON_TESTS = \
	tests/daemon/test_claim \
	tests/daemon/test_hostile \
	tests/daemon/test_life \
	tests/daemon/test_limits \
	tests/daemon/test_mirror
check_PROGRAMS += $(DAEMON_TESTS)
TESTS += $(DAEMON_TESTS)
QUICK_TESTS += $(DAEMON_TESTS)
daemon_rig = tests/daemon/rig.h tests/daemon/rig.c
tests_daemon_test_claim_SOURCES = tests/daemon/test_claim.c $(daemon_rig)
tests_daemon_test_claim_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_claim_LDADD = libdaemon.la $(TEST_LIBS)
tests_daemon_test_hostile_SOURCES = tests/daemon/test_hostile.c $(daemon_rig)
tests_daemon_test_hostile_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_hostile_LDADD = libdaemon.la $(TEST_LIBS)
tests_daemon_test_life_SOURCES = tests/daemon/test_life.c $(daemon_rig)
tests_daemon_test_life_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_life_LDADD = libdaemon.la $(TEST_LIBS)
tests_daemon_test_limits_SOURCES = tests/daemon/test_limits.c $(daemon_rig)
tests_daemon_test_limits_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_limits_LDADD = libdaemon.la $(TEST_LIBS)
tests_daemon_test_mirror_SOURCES = tests/daemon/test_mirror.c $(daemon_rig)
tests_daemon_test_mirror_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_test_mirror_LDADD = libdaemon.la $(TEST_LIBS)

# these wait for a private shuntd to end by itself, or for programs
DAEMON_SH = tests/daemon/test_run.sh tests/daemon/test_stat.py tests/daemon/test_attacks.py \
	tests/daemon/test_many.py tests/daemon/test_late.py
dist_check_SCRIPTS += $(DAEMON_SH)
TESTS += $(DAEMON_SH)

DAEMON_QUICK_SH = tests/daemon/test_options.sh
dist_check_SCRIPTS += $(DAEMON_QUICK_SH)
TESTS += $(DAEMON_QUICK_SH)
QUICK_TESTS += $(DAEMON_QUICK_SH)

# two hosts: network namespaces
check_PROGRAMS += tests/daemon/far_client
tests_daemon_far_client_SOURCES = tests/daemon/far_client.c
tests_daemon_far_client_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_daemon_far_client_LDADD = libdaemon.la
dist_check_SCRIPTS += tests/daemon/test_agents.py
TESTS += tests/daemon/test_agents.py
