// SPDX-License-Identifier: BSD-2-Clause
// The binary interface by which packetdrill drives a stack in a shared object (its --so_filename
// option): it loads the object and calls packetdrill_interface_init(), which fills this table. The
// order and types of the members are packetdrill's and cannot change. Each returns what the call of
// that name returns, with errno; `self` is always the table's first member.
#ifndef SHUNT_TESTS_PACKET_PACKETDRILL_ABI_H
#define SHUNT_TESTS_PACKET_PACKETDRILL_ABI_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

struct packetdrill_interface {
    void *userdata;
    void (*free)(void *self);
    // clang-format off
    int (*socket)(void *self, int domain, int type, int protocol);
    int (*bind)(void *self, int fd, const struct sockaddr *addr, socklen_t len);
    int (*listen)(void *self, int fd, int backlog);
    int (*accept)(void *self, int fd, struct sockaddr *addr, socklen_t *len);
    int (*connect)(void *self, int fd, const struct sockaddr *addr, socklen_t len);
    ssize_t (*read)(void *self, int fd, void *buf, size_t len);
    ssize_t (*readv)(void *self, int fd, const struct iovec *iov, int count);
    ssize_t (*recv)(void *self, int fd, void *buf, size_t len, int flags);
    ssize_t (*recvfrom)(void *self, int fd, void *buf, size_t len, int flags,
                        struct sockaddr *addr, socklen_t *addr_len);
    ssize_t (*recvmsg)(void *self, int fd, struct msghdr *msg, int flags);
    ssize_t (*write)(void *self, int fd, const void *buf, size_t len);
    ssize_t (*writev)(void *self, int fd, const struct iovec *iov, int count);
    ssize_t (*send)(void *self, int fd, const void *buf, size_t len, int flags);
    ssize_t (*sendto)(void *self, int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *addr, socklen_t addr_len);
    ssize_t (*sendmsg)(void *self, int fd, const struct msghdr *msg, int flags);
    int (*fcntl)(void *self, int fd, int cmd, ...);
    int (*ioctl)(void *self, int fd, unsigned long request, ...);
    int (*close)(void *self, int fd);
    int (*shutdown)(void *self, int fd, int how);
    int (*getsockopt)(void *self, int fd, int level, int name, void *value, socklen_t *len);
    int (*setsockopt)(void *self, int fd, int level, int name, const void *value, socklen_t len);
    int (*poll)(void *self, struct pollfd *fds, nfds_t count, int timeout_ms);
    // an IP packet arrives at the stack
    int (*netdev_send)(void *self, const void *packet, size_t len);
    // waits for the next IP packet that the stack sends; *len is the room, then the length
    int (*netdev_receive)(void *self, void *packet, size_t *len, long long *time_us);
    int (*usleep)(void *self, useconds_t us);
    int (*gettimeofday)(void *self, struct timeval *tv, struct timezone *tz);
    int (*epoll_create)(void *self, int size);
    int (*epoll_ctl)(void *self, int epfd, int op, int fd, struct epoll_event *event);
    int (*epoll_wait)(void *self, int epfd, struct epoll_event *events, int max, int timeout_ms);
    int (*pipe)(void *self, int fds[2]);
    int (*splice)(void *self, int in, loff_t *off_in, int out, loff_t *off_out, size_t len,
                  unsigned int flags);
    // clang-format on
};

// flags is what --so_flags says, or NULL.
void packetdrill_interface_init(const char *flags, struct packetdrill_interface *out);

#endif
