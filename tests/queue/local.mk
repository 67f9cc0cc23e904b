# SPDX-License-Identifier: BSD-2-Clause
# One suite, one program a door. Needs root for all but loop; namespaces are the test's own.
queue_suite = tests/queue/main.c tests/queue/suite.h tests/queue/rig.c tests/queue/rig.h \
	tests/queue/frame.c tests/queue/frames.c tests/queue/steer.c tests/queue/life.c tests/queue/xdp.c
queue_suite_libs = libqueueowner.la libqueue.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/queue/test_loop tests/queue/test_af_packet tests/queue/test_af_xdp
TESTS += tests/queue/test_loop tests/queue/test_af_packet tests/queue/test_af_xdp
NO_THREAD_TESTS += tests/queue/test_loop tests/queue/test_af_packet tests/queue/test_af_xdp

tests_queue_test_loop_SOURCES = $(queue_suite)
tests_queue_test_loop_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_LOOP -DNAME='"queue/loop"'
tests_queue_test_loop_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_loop_LDADD = $(queue_suite_libs)

tests_queue_test_af_packet_SOURCES = $(queue_suite)
tests_queue_test_af_packet_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_AF_PACKET -DNAME='"queue/af_packet"'
tests_queue_test_af_packet_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_af_packet_LDADD = $(queue_suite_libs)

tests_queue_test_af_xdp_SOURCES = $(queue_suite)
tests_queue_test_af_xdp_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_AF_XDP -DNAME='"queue/af_xdp"'
tests_queue_test_af_xdp_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_af_xdp_LDADD = $(queue_suite_libs)
