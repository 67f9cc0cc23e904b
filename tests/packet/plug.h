// SPDX-License-Identifier: BSD-2-Clause
// What the files of the plug share.
#ifndef SHUNT_TESTS_PACKET_PLUG_H
#define SHUNT_TESTS_PACKET_PLUG_H

#include <errno.h>
#include <pthread.h>

#include "packetdrill_abi.h"
#include "stack.h"

#define PLUG_FDS    1024
#define PLUG_EPOLLS 8
#define PLUG_WATCH  32 // sockets in one epoll set

struct plug_watch {
    int fd; // a real one; -1: free
    struct epoll_event event;
    uint64_t activity; // when it was reported last
};

struct plug_epoll {
    int fd; // a real one that gives the set its number; 0: free
    struct plug_watch watch[PLUG_WATCH];
};

struct plug {
    pthread_mutex_t lock;
    pthread_cond_t moved; // something has happened: blocked calls look again
    pthread_cond_t still; // a blocked call has looked, or its caller has taken the time
    uint64_t moves;
    int blocked, looked; // calls that wait; and those of them that saw the last move
    bool returned;       // a call that waited is done,
    pthread_t caller;    // and its thread has not yet asked what time it is
    struct stack *stack;
    int inner[PLUG_FDS]; // the stack's fd behind a real one; 0: none
    struct plug_epoll epoll[PLUG_EPOLLS];
};

// The stack's fd behind fd; -1 where there is none.
static inline int plug_inner(const struct plug *p, int fd)
{
    return fd >= 0 && fd < PLUG_FDS && p->inner[fd] ? p->inner[fd] : -1;
}

// errno and -1 of a negative errno.
static inline ptrdiff_t plug_result(ptrdiff_t n)
{
    if (n >= 0)
        return n;
    errno = (int)-n;
    return -1;
}

// plug.c, all with the lock held. A call would block: waits until something has happened.
void plug_wait(struct plug *p);

// Something has happened: blocked calls look again.
void plug_moved(struct plug *p);

// A call is done; waited: it had been blocked.
void plug_done(struct plug *p, bool waited);

// Makes one try of a call, and tries again while it would block and the socket is a blocking one.
#define UNTIL_DONE(p, fd, nowait, call)                                                            \
    ({                                                                                             \
        ptrdiff_t n_;                                                                              \
        bool waited_ = false;                                                                      \
        pthread_mutex_lock(&(p)->lock);                                                            \
        while ((n_ = (call)) == -EAGAIN && !(nowait) &&                                            \
               !stack_nonblocking((p)->stack, plug_inner(p, fd))) {                                \
            waited_ = true;                                                                        \
            plug_wait(p);                                                                          \
        }                                                                                          \
        plug_done(p, waited_);                                                                     \
        pthread_mutex_unlock(&(p)->lock);                                                          \
        plug_result(n_);                                                                           \
    })

#define AT_ONCE(p, call) UNTIL_DONE(p, -1, true, call)

// plug_epoll.c; as the system calls
int plug_epoll_create(void *self, int size);
int plug_epoll_ctl(void *self, int epfd, int op, int fd, struct epoll_event *event);
int plug_epoll_wait(void *self, int epfd, struct epoll_event *events, int max, int timeout_ms);

// fd is closed: no set holds it any more, and it is no set.
void plug_epoll_forget(struct plug *p, int fd);

// plug_code.c: the plug whose sockets getsockopt() is asked about; NULL: none
void plug_show(struct plug *p);

// plug_pipe.c: pipes are the kernel's, one end of a splice() is a socket of ours
int plug_pipe(void *self, int fds[2]);
int plug_splice(void *self, int in, loff_t *off_in, int to, loff_t *off_out, size_t len,
                unsigned int flags);

#endif
