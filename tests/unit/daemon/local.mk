# SPDX-License-Identifier: BSD-2-Clause
DAEMON_UNIT_TESTS = \
	tests/unit/daemon/test_cage \
	tests/unit/daemon/test_chunk \
	tests/unit/daemon/test_keep \
	tests/unit/daemon/test_listener \
	tests/unit/daemon/test_user \
	tests/unit/daemon/test_table \
	tests/unit/daemon/test_loop \
	tests/unit/daemon/test_diag \
	tests/unit/daemon/test_session \
	tests/unit/daemon/test_seal
check_PROGRAMS += $(DAEMON_UNIT_TESTS)
TESTS += $(DAEMON_UNIT_TESTS)
QUICK_TESTS += $(DAEMON_UNIT_TESTS)
tests_unit_daemon_test_cage_SOURCES = tests/unit/daemon/test_cage.c
tests_unit_daemon_test_cage_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_cage_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_chunk_SOURCES = tests/unit/daemon/test_chunk.c
tests_unit_daemon_test_chunk_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_chunk_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_keep_SOURCES = tests/unit/daemon/test_keep.c
tests_unit_daemon_test_keep_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_keep_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_listener_SOURCES = tests/unit/daemon/test_listener.c
tests_unit_daemon_test_listener_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_listener_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_user_SOURCES = tests/unit/daemon/test_user.c
tests_unit_daemon_test_user_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_user_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_table_SOURCES = tests/unit/daemon/test_table.c
tests_unit_daemon_test_table_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_table_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_loop_SOURCES = tests/unit/daemon/test_loop.c
tests_unit_daemon_test_loop_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_loop_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_diag_SOURCES = tests/unit/daemon/test_diag.c
tests_unit_daemon_test_diag_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_daemon_test_diag_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_session_SOURCES = tests/unit/daemon/test_session.c
tests_unit_daemon_test_session_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_daemon_test_session_LDADD = libdaemon.la $(TEST_LIBS)
tests_unit_daemon_test_seal_SOURCES = tests/unit/daemon/test_seal.c
tests_unit_daemon_test_seal_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_daemon_test_seal_LDADD = libdaemon.la $(TEST_LIBS)
