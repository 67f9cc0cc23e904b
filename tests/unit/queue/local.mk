# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/queue/test_loop
tests_unit_queue_test_loop_SOURCES = tests/unit/queue/test_loop.c
tests_unit_queue_test_loop_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_queue_test_loop_LDADD = libqueue.la libbase.la $(TEST_LIBS)
TESTS += tests/unit/queue/test_loop
QUICK_TESTS += tests/unit/queue/test_loop

check_PROGRAMS += tests/unit/queue/test_fault
tests_unit_queue_test_fault_SOURCES = tests/unit/queue/test_fault.c
tests_unit_queue_test_fault_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_queue_test_fault_LDADD = libqueue.la libbase.la $(TEST_LIBS)
TESTS += tests/unit/queue/test_fault
QUICK_TESTS += tests/unit/queue/test_fault
