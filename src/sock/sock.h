// SPDX-License-Identifier: BSD-2-Clause
// What the shim calls. Each function has the contract of the libc function whose name it bears
// (man section 2), but returns -errno, and takes only fds that fdtab knows; the shim passes all
// others straight to libc.
#ifndef SHUNT_SOCK_SOCK_H
#define SHUNT_SOCK_SOCK_H

#include "base/reach.h"
#include "sock/conn.h"
#include "sock/fdtab.h"
#include "sock/real.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

// ---- life of the library (init.c, fork.c, signal.c) ----

// Reads policy and environment, adopts inherited fds; idempotent. False: Shunt is off in this
// program.
bool sock_init(void);

// In the parent before a child with memory of its own is made; then in both, child telling which.
void sock_before_fork(void);
void sock_after_fork(bool child);
// Before exec of path with envp: connections that the new program will hold go back to the twin, or
// stay where they are if it will run under Shunt, too; epoll sets are left as it can read them.
// Never fails; may wait for peers a short time.
void sock_before_exec(const char *path, char *const envp[], bool search_path);
// The same before a child is made that will exec at once, while this process goes on: it keeps its
// epoll sets.
void sock_before_spawn(const char *path, char *const envp[], bool search_path);
// Before the process ends without exit(3). Waits 1 s at most.
void sock_before_exit(void);
// Before fds are passed by SCM_RIGHTS over the unix socket fd.
void sock_before_pass(int fd, const struct msghdr *msg);
void sock_after_received(const struct msghdr *msg); // adopts fds that came
// Before the process forbids itself system calls (seccomp(2)): everything goes back to the kernel
// for good, and Shunt is off. Waits for peers 1 s at most.
void sock_seal(void);
int sock_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

// ---- numbers (number.c); any kind of fd ----

// Is fd Shunt's own, so that the program must find it closed?
bool sock_is_own(int fd);

// Above every number that is Shunt's own or means something to it.
int sock_limit(void);

// Before the kernel makes newfd a copy of oldfd, which is open: what newfd meant is forgotten; if
// it is Shunt's own, it moves out of the way. 0, or -EBUSY: there is no other number for it.
int sock_make_way(int oldfd, int newfd);

// The program has run out of numbers (EMFILE), or the host of files: what is Shunt's own moves out
// of the way, or goes, with connections that go back to the twin for it. True: something was
// gained. Not inside; may wait for peers a short time.
bool sock_make_room(bool numbers);

// Calls see for every fd that is open in this process. No malloc; safe in a child of vfork.
void sock_each_open_fd(void (*see)(int fd));

// c is about to be used behind Shunt's back (stdio, another process): it goes back to the twin for
// good, waiting for the peer up to a second.
void sock_hand_over(struct conn *c, int fd, const char *reason);

// ---- options (opts.c) ----

int sock_getsockopt(struct conn *c, int fd, int level, int name, void *val, socklen_t *len);
int sock_setsockopt(struct conn *c, int fd, int level, int name, const void *val, socklen_t len);
int sock_ioctl(struct conn *c, int fd, unsigned long request, void *arg);
int sock_setfl(struct conn *c, int fd, int flags); // fcntl(F_SETFL)
int sock_getfl(struct conn *c, int fd);            // fcntl(F_GETFL)
int sock_connect(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len);
void sock_listening(struct conn *c, int fd, int backlog); // after listen(2)
// accept4(2); -EOPNOTSUPP: it is the kernel's alone.
int sock_accept(struct conn *c, int fd, struct sockaddr *addr, socklen_t *len, int flags);
// recv(2) with MSG_OOB or MSG_ERRQUEUE where there is no twin to ask.
ssize_t sock_recv_apart(struct conn *c, int fd, void *buf, size_t n, int flags);
int sock_name(struct conn *c, int fd, bool peer, struct sockaddr *addr, socklen_t *len);
int sock_shutdown(struct conn *c, int fd, int how);

// ---- files and pipes (file.c); no offsets on pipes ----

ssize_t sock_sendfile(struct conn *c, int fd, int in_fd, off_t *off, size_t n);
ssize_t sock_splice_in(struct conn *c, int fd, int pipe, size_t n, unsigned int flags);
ssize_t sock_splice_out(struct conn *c, int fd, int pipe, size_t n, unsigned int flags);

// ---- readiness (poll.c, epoll.c) ----

// Is any of the fds a connection for which the kernel's poll would be wrong? If not, the shim calls
// libc.
bool sock_poll_ours(const struct pollfd *fds, nfds_t n);
int sock_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
bool sock_select_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e);
int sock_pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
                 const sigset_t *mask);

void sock_epoll_made(int epfd); // after epoll_create
int sock_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int sock_epoll_wait(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                    const sigset_t *mask);

#endif
