# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/sock/test_move
tests_unit_sock_test_move_SOURCES = tests/unit/sock/test_move.c \
	tests/unit/sock/fake_cm.h tests/unit/sock/fake_cm.c
tests_unit_sock_test_move_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit/sock
tests_unit_sock_test_move_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_sock_test_move_LDADD = libsock.la libcm.la libpolicy.la liblane.la libnet.la libtcp.la libwire.la libqueue.la libchan.la libbase.la \
	$(CONFIG_LIBS) $(TEST_LIBS)
TESTS += tests/unit/sock/test_move
QUICK_TESTS += tests/unit/sock/test_move
