// SPDX-License-Identifier: BSD-2-Clause
// The plug for packetdrill: `packetdrill --so_filename=.../libshunt_packetdrill.so script.pkt` runs
// the script against the engine, in virtual time. --so_flags takes words, separated by commas:
//   local=ADDRESS   this host's address, as packetdrill's --local_ip (for scripts that connect)
//   mtu=BYTES       of the path
//   super=BYTES     largest super-frame (default 64,240, as Linux with GSO shows itself); 0: none
//   tcp_NAME=VALUE  as Linux's sysctl net.ipv4.tcp_NAME (sysctl.c has the list)
//
// A socket is known to packetdrill by a real fd (of /dev/null), because packetdrill closes with
// close(2) what a script has left open.
//
// packetdrill makes blocking calls from a second thread. One lock guards the stack; a call that
// would block waits until the first thread has let time pass or a packet in.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "plug.h"
#include "wire/text.h"

#define RECEIVE_LIMIT_NS (300 * NS_PER_S) // of virtual time, waiting for a packet that never leaves
#define GATHER_MAX       (1 << 20)
#define RING_BYTES       (16u << 20)
#define POLL_MAX         64
#define OTHERS_WAIT_S    1

void plug_moved(struct plug *p)
{
    p->moves++;
    p->looked = 0;
    pthread_cond_broadcast(&p->moved);
}

// The thread whose call was done last is back.
static void is_back(struct plug *p)
{
    if (p->returned && pthread_equal(p->caller, pthread_self()))
        p->returned = false;
    pthread_cond_signal(&p->still);
}

void plug_wait(struct plug *p)
{
    uint64_t seen = p->moves;

    p->blocked++;
    p->looked++;
    is_back(p);
    while (p->moves == seen)
        pthread_cond_wait(&p->moved, &p->lock);
    p->blocked--;
}

void plug_done(struct plug *p, bool waited)
{
    if (waited) {
        p->returned = true;
        p->caller = pthread_self();
        pthread_cond_signal(&p->still);
    }
    plug_moved(p);
}

// Before time passes: blocked calls have looked, and one that is done has taken its time. A thread
// that the machine does not run for so long is not waited for.
static void let_others_look(struct plug *p)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += OTHERS_WAIT_S;
    while (p->returned || p->looked < p->blocked)
        if (pthread_cond_timedwait(&p->still, &p->lock, &until))
            return;
}

// A real fd for a new one of the stack; errors pass through.
static ptrdiff_t outer(struct plug *p, int inner)
{
    int fd;

    if (inner < 0)
        return inner;
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || fd >= PLUG_FDS) {
        stack_close(p->stack, inner);
        return -EMFILE;
    }
    p->inner[fd] = inner;
    return fd;
}

static void plug_free(void *self)
{
    struct plug *p = self;

    plug_show(NULL);
    stack_free(p->stack);
    pthread_cond_destroy(&p->moved);
    pthread_cond_destroy(&p->still);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static int plug_socket(void *self, int domain, int type, int protocol)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, outer(p, stack_socket(p->stack, domain, type, protocol)));
}

static int plug_bind(void *self, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, stack_bind(p->stack, plug_inner(p, fd), addr, len));
}

static int plug_listen(void *self, int fd, int backlog)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, stack_listen(p->stack, plug_inner(p, fd), backlog));
}

static int plug_accept(void *self, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct plug *p = self;

    return (int)UNTIL_DONE(p, fd, false,
                           outer(p, stack_accept(p->stack, plug_inner(p, fd), addr, len)));
}

// A blocking connect(): -EINPROGRESS and -EALREADY are waits, -EISCONN is its success.
static ptrdiff_t connect_once(struct plug *p, int fd, const struct sockaddr *addr, socklen_t len)
{
    int err = stack_connect(p->stack, plug_inner(p, fd), addr, len);

    if (stack_nonblocking(p->stack, plug_inner(p, fd)))
        return err;
    if (err == -EINPROGRESS || err == -EALREADY)
        return -EAGAIN;
    return err == -EISCONN ? 0 : err;
}

static int plug_connect(void *self, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct plug *p = self;

    return (int)UNTIL_DONE(p, fd, false, connect_once(p, fd, addr, len));
}

static ssize_t plug_recv(void *self, int fd, void *buf, size_t len, int flags)
{
    struct plug *p = self;

    return UNTIL_DONE(p, fd, flags & MSG_DONTWAIT,
                      stack_recv(p->stack, plug_inner(p, fd), buf, len, flags));
}

static ssize_t plug_read(void *self, int fd, void *buf, size_t len)
{
    if (plug_inner(self, fd) < 0)
        return read(fd, buf, len); // a pipe
    return plug_recv(self, fd, buf, len, 0);
}

static ssize_t plug_recvfrom(void *self, int fd, void *buf, size_t len, int flags,
                             struct sockaddr *addr, socklen_t *addr_len)
{
    if (addr_len)
        *addr_len = 0; // of a connected socket
    return plug_recv(self, fd, buf, len, flags);
}

static size_t iov_bytes(const struct iovec *iov, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return MIN(n, (size_t)GATHER_MAX);
}

static void scatter(const struct iovec *iov, const uint8_t *from, size_t len)
{
    for (; len; iov++) {
        size_t part = MIN(len, iov->iov_len);

        memcpy(iov->iov_base, from, part);
        from += part;
        len -= part;
    }
}

static void gather(const struct iovec *iov, uint8_t *to, size_t len)
{
    for (; len; iov++) {
        size_t part = MIN(len, iov->iov_len);

        memcpy(to, iov->iov_base, part);
        to += part;
        len -= part;
    }
}

static ssize_t receive_iov(void *self, int fd, const struct iovec *iov, int count, int flags)
{
    size_t len = iov_bytes(iov, count);
    uint8_t *bytes = malloc(len + 1);
    ssize_t n;

    if (!bytes)
        return plug_result(-ENOMEM);
    n = plug_recv(self, fd, bytes, len, flags);
    if (n > 0)
        scatter(iov, bytes, (size_t)n);
    free(bytes);
    return n;
}

static ssize_t plug_readv(void *self, int fd, const struct iovec *iov, int count)
{
    return receive_iov(self, fd, iov, count, 0);
}

static ssize_t plug_recvmsg(void *self, int fd, struct msghdr *msg, int flags)
{
    msg->msg_namelen = 0;
    msg->msg_controllen = 0;
    msg->msg_flags = 0;
    return receive_iov(self, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);
}

static ssize_t plug_sendto(void *self, int fd, const void *buf, size_t len, int flags,
                           const struct sockaddr *addr, socklen_t addr_len)
{
    struct plug *p = self;
    const char *at = buf;
    size_t done = 0;
    ssize_t n;

    // a blocking write() returns when all is queued
    do {
        n = UNTIL_DONE(p, fd, flags & MSG_DONTWAIT,
                       stack_sendto(p->stack, plug_inner(p, fd), at + done, len - done, flags, addr,
                                    addr_len));
        if (n < 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
    } while (done < len && !(flags & MSG_DONTWAIT) &&
             !stack_nonblocking(p->stack, plug_inner(p, fd)));
    return (ssize_t)done;
}

static ssize_t plug_send(void *self, int fd, const void *buf, size_t len, int flags)
{
    return plug_sendto(self, fd, buf, len, flags, NULL, 0);
}

static ssize_t plug_write(void *self, int fd, const void *buf, size_t len)
{
    if (plug_inner(self, fd) < 0)
        return write(fd, buf, len);
    return plug_send(self, fd, buf, len, 0);
}

static ssize_t send_iov(void *self, int fd, const struct msghdr *msg, int flags)
{
    size_t len = iov_bytes(msg->msg_iov, (int)msg->msg_iovlen);
    uint8_t *bytes = malloc(len + 1);
    ssize_t n;

    if (!bytes)
        return plug_result(-ENOMEM);
    gather(msg->msg_iov, bytes, len);
    n = plug_sendto(self, fd, bytes, len, flags, msg->msg_name, msg->msg_namelen);
    free(bytes);
    return n;
}

static ssize_t plug_writev(void *self, int fd, const struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};

    return send_iov(self, fd, &msg, 0);
}

static ssize_t plug_sendmsg(void *self, int fd, const struct msghdr *msg, int flags)
{
    return send_iov(self, fd, msg, flags);
}

static int plug_fcntl(void *self, int fd, int cmd, ...)
{
    struct plug *p = self;
    va_list ap;
    long arg;

    va_start(ap, cmd);
    arg = va_arg(ap, long);
    va_end(ap);
    return (int)AT_ONCE(p, stack_fcntl(p->stack, plug_inner(p, fd), cmd, arg));
}

static int plug_ioctl(void *self, int fd, unsigned long request, ...)
{
    struct plug *p = self;
    va_list ap;
    int *value;

    va_start(ap, request);
    value = va_arg(ap, int *);
    va_end(ap);
    return (int)AT_ONCE(p, stack_ioctl(p->stack, plug_inner(p, fd), request, value));
}

static int plug_close(void *self, int fd)
{
    struct plug *p = self;
    int inner = plug_inner(p, fd);

    plug_epoll_forget(p, fd);
    if (inner < 0)
        return close(fd); // a pipe, an epoll set
    p->inner[fd] = 0;
    close(fd);
    return (int)AT_ONCE(p, stack_close(p->stack, inner));
}

static int plug_shutdown(void *self, int fd, int how)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, stack_shutdown(p->stack, plug_inner(p, fd), how));
}

static int plug_getsockopt(void *self, int fd, int level, int name, void *value, socklen_t *len)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, stack_getsockopt(p->stack, plug_inner(p, fd), level, name, value, len));
}

static int plug_setsockopt(void *self, int fd, int level, int name, const void *value,
                           socklen_t len)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, stack_setsockopt(p->stack, plug_inner(p, fd), level, name, value, len));
}

static int poll_once(struct plug *p, struct pollfd *fds, nfds_t count, uint64_t until_ns)
{
    struct pollfd inner[POLL_MAX];
    int n;

    for (nfds_t i = 0; i < count; i++)
        inner[i] = (struct pollfd){.fd = plug_inner(p, fds[i].fd), .events = fds[i].events};
    n = stack_poll(p->stack, inner, count);
    for (nfds_t i = 0; i < count; i++)
        fds[i].revents = inner[i].revents;
    return n || stack_now(p->stack) >= until_ns ? n : -EAGAIN;
}

static int plug_poll(void *self, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct plug *p = self;
    uint64_t until =
        timeout_ms < 0 ? CLOCK_NEVER : stack_now(p->stack) + (uint64_t)timeout_ms * NS_PER_MS;

    if (count > POLL_MAX)
        return (int)plug_result(-EINVAL);
    return (int)UNTIL_DONE(p, -1, false, poll_once(p, fds, count, until));
}

static int plug_netdev_send(void *self, const void *packet, size_t len)
{
    struct plug *p = self;

    // what the parser refuses is dropped, as by any stack
    return (int)AT_ONCE(p, (stack_inject(p->stack, packet, len), 0));
}

// Lets virtual time pass until a packet has left.
static ptrdiff_t receive(struct plug *p, void *packet, uint64_t *sent_ns)
{
    static uint8_t bytes[STACK_PACKET_MAX];
    struct stack *st = p->stack;
    uint64_t limit = stack_now(st) + RECEIVE_LIMIT_NS;
    ptrdiff_t n;

    let_others_look(p);
    while (stack_peek(st) == CLOCK_NEVER && stack_deadline(st) <= limit)
        stack_advance(st, stack_deadline(st));
    n = stack_take(st, bytes, sent_ns);
    if (n > 0)
        memcpy(packet, bytes, (size_t)n);
    return n;
}

static int plug_netdev_receive(void *self, void *packet, size_t *len, long long *time_us)
{
    struct plug *p = self;
    uint64_t sent_ns = 0;
    ptrdiff_t n = AT_ONCE(p, receive(p, packet, &sent_ns));

    *len = n > 0 ? (size_t)n : 0;
    *time_us = (long long)(sent_ns / NS_PER_US);
    return 0;
}

static int pass(struct plug *p, uint64_t ns)
{
    is_back(p);
    let_others_look(p);
    stack_advance(p->stack, stack_now(p->stack) + ns);
    return 0;
}

static int plug_usleep(void *self, useconds_t us)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, pass(p, us * NS_PER_US));
}

// Each look at the clock takes a microsecond, or packetdrill would spin for ever in its last
// moments before an event.
static int plug_gettimeofday(void *self, struct timeval *tv, struct timezone *tz)
{
    struct plug *p = self;
    uint64_t us;

    AT_ONCE(p, pass(p, NS_PER_US));
    us = stack_now(p->stack) / NS_PER_US;
    tv->tv_sec = (time_t)(us / 1000000);
    tv->tv_usec = (suseconds_t)(us % 1000000);
    return 0;
}

// One NAME=VALUE word of --so_flags. False: not known.
static bool take_flag(struct stack_config *cfg, const char *name, const char *value)
{
    if (!strcmp(name, "local"))
        return !ip_addr_parse(value, strchr(value, ':') ? &cfg->local6 : &cfg->local4);
    if (!strcmp(name, "mtu"))
        cfg->path.mtu = (uint16_t)atoi(value);
    else if (!strcmp(name, "super"))
        cfg->path.super_max = (uint32_t)atoi(value);
    else
        return !stack_sysctl(cfg, name, value);
    return true;
}

static void take_flags(struct stack_config *cfg, const char *flags)
{
    char text[512], *save = NULL, *value;

    snprintf(text, sizeof(text), "%s", flags ? flags : "");
    for (char *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        value = strchr(w, '=');
        if (value)
            *value++ = 0;
        if (!value || !take_flag(cfg, w, value))
            fprintf(stderr, "libshunt_packetdrill: flag '%s' is not known\n", w);
    }
}

SHUNT_EXPORT void packetdrill_interface_init(const char *flags, struct packetdrill_interface *ifc)
{
    struct plug *p = calloc(1, sizeof(*p));
    struct stack_config cfg;

    stack_config_init(&cfg);
    cfg.path.super_max = 64240;
    cfg.ring_bytes = RING_BYTES;
    cfg.tcp.rcv_max = RING_BYTES - 1; // a window scale of 8, which scripts for Linux expect
    take_flags(&cfg, flags);
    if (p)
        p->stack = stack_new(&cfg);
    if (!p || !p->stack) {
        fprintf(stderr, "libshunt_packetdrill: the engine does not start\n");
        abort();
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->moved, NULL);
    pthread_cond_init(&p->still, NULL);
    plug_show(p);
    *ifc = (struct packetdrill_interface){
        .userdata = p,
        .free = plug_free,
        .socket = plug_socket,
        .bind = plug_bind,
        .listen = plug_listen,
        .accept = plug_accept,
        .connect = plug_connect,
        .read = plug_read,
        .readv = plug_readv,
        .recv = plug_recv,
        .recvfrom = plug_recvfrom,
        .recvmsg = plug_recvmsg,
        .write = plug_write,
        .writev = plug_writev,
        .send = plug_send,
        .sendto = plug_sendto,
        .sendmsg = plug_sendmsg,
        .fcntl = plug_fcntl,
        .ioctl = plug_ioctl,
        .close = plug_close,
        .shutdown = plug_shutdown,
        .getsockopt = plug_getsockopt,
        .setsockopt = plug_setsockopt,
        .poll = plug_poll,
        .netdev_send = plug_netdev_send,
        .netdev_receive = plug_netdev_receive,
        .usleep = plug_usleep,
        .gettimeofday = plug_gettimeofday,
        .epoll_create = plug_epoll_create,
        .epoll_ctl = plug_epoll_ctl,
        .epoll_wait = plug_epoll_wait,
        .pipe = plug_pipe,
        .splice = plug_splice,
    };
}
