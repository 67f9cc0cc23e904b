// SPDX-License-Identifier: BSD-2-Clause
// libc's own functions, behind the names that the shim exports. Only those are listed that inner
// rooms call where base/sys.h cannot serve: blocking calls, which must stay cancellation points.
#ifndef SHUNT_SOCK_REAL_H
#define SHUNT_SOCK_REAL_H

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

struct sock_real {
    int (*connect)(int, const struct sockaddr *, socklen_t);
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*recvmsg)(int, struct msghdr *, int);
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*recv)(int, void *, size_t, int);
    int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    int (*epoll_pwait2)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);
    int (*epoll_pwait)(int, struct epoll_event *, int, int, const sigset_t *);
    int (*sigaction)(int, const struct sigaction *, struct sigaction *);
    int (*pthread_sigmask)(int, const sigset_t *, sigset_t *);
};

extern struct sock_real real;

// Fills real by dlsym(RTLD_NEXT). Idempotent; called by the shim before anything else.
void sock_real_init(void);

#endif
