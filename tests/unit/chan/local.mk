# SPDX-License-Identifier: BSD-2-Clause
chan_tests = tests/unit/chan/test_chan tests/unit/chan/test_kill tests/unit/chan/test_epochs
check_PROGRAMS += $(chan_tests)
TESTS += $(chan_tests)
QUICK_TESTS += $(chan_tests)
# kills a process at every instruction: a sanitizer multiplies those and sees none of them
NO_SANITIZER_TESTS += tests/unit/chan/test_kill
tests_unit_chan_test_chan_SOURCES = tests/unit/chan/test_chan.c
tests_unit_chan_test_chan_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chan_test_chan_LDADD = libchan.la libbase.la $(TEST_LIBS)
tests_unit_chan_test_kill_SOURCES = tests/unit/chan/test_kill.c
tests_unit_chan_test_kill_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chan_test_kill_LDADD = libchan.la libbase.la $(TEST_LIBS)
tests_unit_chan_test_epochs_SOURCES = tests/unit/chan/test_epochs.c
tests_unit_chan_test_epochs_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chan_test_epochs_LDADD = libchan.la libbase.la $(TEST_LIBS)
