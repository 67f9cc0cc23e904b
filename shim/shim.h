// SPDX-License-Identifier: BSD-2-Clause
// What the rows share. A row looks its fd up; an fd that Shunt does not know costs one load more
// than libc alone. Only rows set errno.
#ifndef SHUNT_SHIM_SHIM_H
#define SHUNT_SHIM_SHIM_H

#include "shim/libc.h"
#include "shim/library.h"
#include "sock/sock.h"
#include "sock/thread.h"

#include <errno.h>
#include <time.h>

#define SHIM_NS_PER_US 1000ULL
#define SHIM_NS_PER_MS 1000000ULL
#define SHIM_NS_PER_S  1000000000ULL

// Another function of the shim under a second name.
#define SHIM_ALIAS(name, target)                                                                   \
    extern __typeof__(target) name __attribute__((alias(#target), visibility("default")))

// 0 and up as it is, -errno to errno and -1.
static inline long shim_ret(long r)
{
    if (likely(r >= 0))
        return r;
    errno = (int)-r;
    return -1;
}

// Before a row does the first thing that needs more than libc. False: Shunt is off in this program.
static inline bool shim_init(void)
{
    return shim_libraries() && sock_init();
}

// Can all of *p be read, or written, as the kernel would?
#define SHIM_READS(p)  (reach(p, sizeof *(p), REACH_READ) == sizeof *(p))
#define SHIM_WRITES(p) (reach(p, sizeof *(p), REACH_WRITE) == sizeof *(p))

static inline uint64_t shim_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SHIM_NS_PER_S + (uint64_t)ts.tv_nsec;
}

// True in a child that vfork made: its memory is its parent's, its fds are not, so that nothing
// that we know of fds may be used or changed.
static inline bool shim_vforked(void)
{
    return unlikely(sock_thread.vfork_parent) && sock_vforked();
}

// The connection behind fd in any stage, held; NULL: none of ours, libc's function is right.
static inline struct conn *shim_conn(int fd)
{
    if (likely((fdtab_word(fd) & 15) != FD_CONN) || shim_vforked())
        return NULL;
    return conn_get(fd);
}

// Has a call failed for want of numbers of which some were Shunt's? They are the program's now.
static inline bool shim_made_room(void)
{
    int err = errno;
    bool room = (err == EMFILE || err == ENFILE) && fdtab_limit() > 0 && !shim_vforked() &&
                sock_make_room(err == EMFILE);

    errno = err;
    return room;
}

// What call, an expression, returns: a number, or something negative; tried once more if there is
// room then.
#define SHIM_NUMBER(call)                                                                          \
    ({                                                                                             \
        int number_ = (call);                                                                      \
        if (unlikely(number_ < 0) && shim_made_room())                                             \
            number_ = (call);                                                                      \
        number_;                                                                                   \
    })

// May bytes of fd have to go by a ring one day?
static inline bool shim_may_ring(int fd)
{
    uintptr_t word = fdtab_word(fd);
    const struct conn *c = fdtab_object(word);

    return unlikely((word & 15) == FD_CONN) && c->stage != CONN_RAW && c->stage >= CONN_FRESH;
}

// The same as shim_conn(), only then.
static inline struct conn *shim_stream(int fd)
{
    return shim_may_ring(fd) ? shim_conn(fd) : NULL;
}

// Is fd a connection on Shunt's own TCP, of which the kernel knows nothing?
static inline bool shim_is_wired(int fd)
{
    uintptr_t word = fdtab_word(fd);

    return unlikely((word & 15) == FD_CONN) && !conn_has_twin(fdtab_object(word)) &&
           !shim_vforked();
}

// For cleanup attributes: a thread that is cancelled unwinds through here.
static inline void shim_let_go(struct conn **c)
{
    if (*c)
        conn_put(*c);
}

// Would shim_stream() find something?
static inline bool shim_is_stream(int fd)
{
    struct conn *c = shim_stream(fd);

    if (c)
        conn_put(c);
    return c;
}

// c->stage is compared above.
_Static_assert(CONN_NEW < CONN_FRESH && CONN_LISTEN < CONN_FRESH, "order of the stages");

// Before the process may make only a few system calls, or those that program lets through: Shunt
// makes none from now on. Without a program the call only asks if the kernel has filters.
void shim_before_seccomp(bool filter, const void *program);

// Takes fd back to the twin for good before libc or somebody else uses it behind our back.
void shim_hand_over(int fd, const char *reason);

#endif
