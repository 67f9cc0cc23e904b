// SPDX-License-Identifier: BSD-2-Clause
// What this process knows of each fd number. An fd that is not in here passes straight through.
#ifndef SHUNT_SOCK_FDTAB_H
#define SHUNT_SOCK_FDTAB_H

#include <stdatomic.h>
#include <stdint.h>

#define FDTAB_SIZE (1 << 20) // higher numbers pass through untracked

enum fd_kind {
    FD_NONE = 0,
    FD_CONN,  // struct conn
    FD_EPOLL, // struct epoll_set
    FD_OWN,   // Shunt's own: hidden from close, dup2 and the like
};

// A pointer to an object (aligned to 16 or more) with its kind in the low bits. Objects come from
// pools whose memory is never given back, so a stale pointer may be looked at, not trusted.
extern _Atomic uintptr_t fdtab[FDTAB_SIZE];

static inline uintptr_t fdtab_word(int fd)
{
    if ((unsigned)fd >= FDTAB_SIZE)
        return 0;
    return atomic_load_explicit(&fdtab[fd], memory_order_acquire);
}

static inline enum fd_kind fdtab_kind(int fd)
{
    return (enum fd_kind)(fdtab_word(fd) & 15);
}

static inline void *fdtab_object(uintptr_t word)
{
    return (void *)(word & ~(uintptr_t)15);
}

// Gives fd a meaning; returns the word that stood there before. Numbers out of range: no effect, 0.
uintptr_t fdtab_set(int fd, enum fd_kind kind, void *object);

// One above the highest number that ever had a meaning.
int fdtab_limit(void);

#endif
