# SPDX-License-Identifier: BSD-2-Clause
# Every socket rule, tested on kernel TCP, under Shunt on the kernel, and under Shunt on shared memory.
check_PROGRAMS += tests/sock/sock
tests_sock_sock_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/sock -D_FORTIFY_SOURCE=2
tests_sock_sock_CFLAGS = $(AM_CFLAGS) -pthread
tests_sock_sock_SOURCES = \
	tests/sock/common/sock.h tests/sock/common/conn.c tests/sock/common/peer.c \
	tests/sock/common/driver.c tests/sock/topics.c tests/sock/helper.c \
	tests/sock/io.c tests/sock/recv_flags.c tests/sock/timeouts.c tests/sock/nonblock.c \
	tests/sock/connect.c tests/sock/accept.c tests/sock/poll.c tests/sock/select.c \
	tests/sock/halfclose.c tests/sock/reset.c \
	tests/sock/common/epoll.h tests/sock/epoll_level.c tests/sock/epoll_edge.c tests/sock/epoll_sets.c \
	tests/sock/messages.c tests/sock/splice.c tests/sock/fds.c tests/sock/stdio.c \
	tests/sock/signals.c tests/sock/threads.c \
	tests/sock/fork.c tests/sock/exec.c tests/sock/spawn.c tests/sock/options.c tests/sock/oob.c \
	tests/sock/death.c tests/sock/many.c tests/sock/integrity.c tests/sock/leave.c \
	tests/sock/others.c tests/sock/uring.c tests/sock/hostile.c \
	tests/sock/seal.c tests/sock/names.c
# tests/sock/names.c: what the program exports
tests_sock_sock_LDFLAGS = $(AM_LDFLAGS) -rdynamic

dist_check_SCRIPTS += tests/sock/run.sh tests/sock/plain.sh tests/sock/kernel.sh tests/sock/shm.sh \
	tests/sock/tcp.sh tests/sock/both.sh
TESTS += tests/sock/plain.sh tests/sock/kernel.sh tests/sock/shm.sh tests/sock/tcp.sh \
	tests/sock/both.sh
