# SPDX-License-Identifier: BSD-2-Clause
# One suite, one program a door. Needs root for all but loop; namespaces are the test's own.
queue_suite = tests/queue/main.c tests/queue/suite.h tests/queue/rig.c tests/queue/rig.h \
	tests/queue/frame.c tests/queue/frames.c tests/queue/steer.c tests/queue/life.c tests/queue/xdp.c tests/queue/packet.c
queue_suite_libs = libqueueowner.la libqueue.la libbase.la $(TEST_LIBS)

QUEUE_TESTS = tests/queue/test_loop tests/queue/test_wrapped tests/queue/test_af_packet \
	tests/queue/test_af_xdp
check_PROGRAMS += $(QUEUE_TESTS)
TESTS += $(QUEUE_TESTS)
NO_THREAD_TESTS += $(QUEUE_TESTS)

tests_queue_test_loop_SOURCES = $(queue_suite)
tests_queue_test_loop_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_LOOP -DWRAPPED=0 -DNAME='"queue/loop"'
tests_queue_test_loop_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_loop_LDADD = $(queue_suite_libs)

tests_queue_test_wrapped_SOURCES = $(queue_suite)
tests_queue_test_wrapped_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_LOOP -DWRAPPED=1 -DNAME='"queue/wrapped"'
tests_queue_test_wrapped_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_wrapped_LDADD = $(queue_suite_libs)

tests_queue_test_af_packet_SOURCES = $(queue_suite)
tests_queue_test_af_packet_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_AF_PACKET -DWRAPPED=0 -DNAME='"queue/af_packet"'
tests_queue_test_af_packet_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_af_packet_LDADD = $(queue_suite_libs)

tests_queue_test_af_xdp_SOURCES = $(queue_suite)
tests_queue_test_af_xdp_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_AF_XDP -DWRAPPED=0 -DNAME='"queue/af_xdp"'
tests_queue_test_af_xdp_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_af_xdp_LDADD = $(queue_suite_libs)

check_PROGRAMS += tests/queue/capture_sample
tests_queue_capture_sample_SOURCES = tests/queue/capture_sample.c
tests_queue_capture_sample_LDADD = libqueue.la libbase.la
dist_check_SCRIPTS += tests/queue/test_capture.py
TESTS += tests/queue/test_capture.py
QUICK_TESTS += tests/queue/test_capture.py

if HAVE_VERBS
check_PROGRAMS += tests/queue/test_verbs_raw
TESTS += tests/queue/test_verbs_raw
NO_THREAD_TESTS += tests/queue/test_verbs_raw
tests_queue_test_verbs_raw_SOURCES = $(queue_suite) tests/queue/verbs_double.c tests/queue/verbs_double.h
tests_queue_test_verbs_raw_CPPFLAGS = $(AM_CPPFLAGS) -DDOOR=QUEUE_VERBS_RAW -DDOOR_IS_DOUBLE=1 -DWRAPPED=0 \
	-DNAME='"queue/verbs_raw"'
tests_queue_test_verbs_raw_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_queue_test_verbs_raw_LDADD = $(queue_suite_libs)
endif
