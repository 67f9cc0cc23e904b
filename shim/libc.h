// SPDX-License-Identifier: BSD-2-Clause
// libc's own functions behind the rows of the table.
#ifndef SHUNT_SHIM_LIBC_H
#define SHUNT_SHIM_LIBC_H

#include "shim/table.h"
#include "sock/thread.h"

#include <aio.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <fcntl.h>
#include <unistd.h>

// What libc exports and no header declares.
ssize_t __read(int fd, void *buf, size_t n);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __write(int fd, const void *buf, size_t n);
ssize_t __send(int fd, const void *buf, size_t n, int flags);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, struct sockaddr *addr,
                       socklen_t *len);
int __connect(int fd, const struct sockaddr *addr, socklen_t len);
int __close(int fd);
int __dup2(int oldfd, int newfd) __THROW;
int __fcntl(int fd, int cmd, ...);
int __poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                size_t size);
int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout);
int __dprintf_chk(int fd, int flag, const char *fmt, ...);
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap);
FILE *_IO_fdopen(int fd, const char *mode) __THROW __attribute__((malloc));
int _IO_fclose(FILE *f);
FILE *_IO_popen(const char *command, const char *type) __attribute__((malloc));
pid_t __vfork(void);
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) __THROW;
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old) __THROW;
sighandler_t bsd_signal(int sig, sighandler_t handler) __THROW;
sighandler_t sysv_signal(int sig, sighandler_t handler);

// sigset and siginterrupt are old, and programs use them
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

struct shim_libc {
#define ROW(symbol, text) __typeof__(symbol) *symbol;
#define PASS(symbol, text)
    SHIM_TABLE(ROW, PASS)
#undef ROW
#undef PASS
};

extern struct shim_libc shim_libc;

// Finds them all. Other libraries' constructors may call rows before ours has run, so each row
// asks.
void shim_libc_init(void);

// LIBC(read)(fd, buf, n) calls libc's read. ENOSYS where this libc has none.
#define LIBC(symbol)                                                                               \
    (*({                                                                                           \
        if (unlikely(!shim_libc.symbol))                                                           \
            shim_libc_init();                                                                      \
        shim_libc.symbol;                                                                          \
    }))

#endif
