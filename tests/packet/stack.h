// SPDX-License-Identifier: BSD-2-Clause
// A host for the engine in virtual time: sockets on one side, IP packets on the other. The packet
// scripts and the plug for packetdrill both stand on it. No call blocks: what would, returns
// -EAGAIN (or -EINPROGRESS for a connect under way), and whoever calls lets time pass and asks
// again.
#ifndef SHUNT_TESTS_PACKET_STACK_H
#define SHUNT_TESTS_PACKET_STACK_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tcp/tcp.h"

#define STACK_FIRST_FD   3
#define STACK_PACKET_MAX 65800

struct stack;

struct stack_config {
    struct tcp_config tcp;
    struct ip_addr local4, local6; // addresses of this host
    struct tcp_path path;          // to everywhere
    uint32_t ring_bytes;           // a power of two: of each ring of a socket
    uint64_t start_ns;             // the clock at first
    bool scribbled;                // the engine's memory is not to be believed
};

// The defaults: 192.168.0.1 and fd3d:fa7b:d17d::1, MTU 1500, no super-frames, rings of 4 MiB, and
// the engine's defaults without pacing, which only makes the time of each segment harder to write
// down.
void stack_config_init(struct stack_config *cfg);

// Sets what Linux's sysctl net.ipv4.NAME sets. Returns 0, or -ENOENT where this stack has no such
// knob.
int stack_sysctl(struct stack_config *cfg, const char *name, const char *value);

// Returns NULL when there is no memory, or when the engine refuses the configuration.
struct stack *stack_new(const struct stack_config *cfg);

// Frees everything, whatever state connections are in.
void stack_free(struct stack *st);

uint64_t stack_now(const struct stack *st);

// When the engine wants to run next; CLOCK_NEVER for never.
uint64_t stack_deadline(const struct stack *st);

// Lets time pass until until_ns, with all that happens in it. A past time runs what is due.
void stack_advance(struct stack *st, uint64_t until_ns);

// An IP packet arrives. Returns 0, or what the parser said about it (it is dropped then).
int stack_inject(struct stack *st, const void *packet, size_t len);

// The next packet that was sent: its bytes to out (STACK_PACKET_MAX of room), its time to *sent_ns.
// Returns its length, or -EAGAIN where there is none.
ptrdiff_t stack_take(struct stack *st, void *out, uint64_t *sent_ns);

// The time when the next packet was sent; CLOCK_NEVER where there is none.
uint64_t stack_peek(const struct stack *st);

// As the system calls, with a negative errno. A socket is blocking unless O_NONBLOCK is set, which
// changes nothing here but is told by stack_nonblocking().
int stack_socket(struct stack *st, int domain, int type, int protocol);
int stack_bind(struct stack *st, int fd, const struct sockaddr *addr, socklen_t len);
int stack_listen(struct stack *st, int fd, int backlog);
int stack_accept(struct stack *st, int fd, struct sockaddr *addr, socklen_t *len);
int stack_connect(struct stack *st, int fd, const struct sockaddr *addr, socklen_t len);
ptrdiff_t stack_recv(struct stack *st, int fd, void *buf, size_t len, int flags);
ptrdiff_t stack_send(struct stack *st, int fd, const void *buf, size_t len, int flags);
// With MSG_FASTOPEN: opens to addr with the data in the SYN where a cookie is known (RFC 7413).
ptrdiff_t stack_sendto(struct stack *st, int fd, const void *buf, size_t len, int flags,
                       const struct sockaddr *addr, socklen_t addr_len);
int stack_shutdown(struct stack *st, int fd, int how);
int stack_close(struct stack *st, int fd);
int stack_fcntl(struct stack *st, int fd, int cmd, long arg);
int stack_ioctl(struct stack *st, int fd, unsigned long request, int *value);
int stack_setsockopt(struct stack *st, int fd, int level, int name, const void *value,
                     socklen_t len);
int stack_getsockopt(struct stack *st, int fd, int level, int name, void *value, socklen_t *len);
int stack_poll(struct stack *st, struct pollfd *fds, nfds_t count);
bool stack_nonblocking(struct stack *st, int fd);

// A number that changes with whatever happens to the connection behind fd: bytes that come or are
// acknowledged, children that wait, its state.
uint64_t stack_activity(struct stack *st, int fd);

// The connection behind fd, or NULL; and the engine itself, for assertions.
const struct tcp_conn *stack_conn(struct stack *st, int fd);
struct tcp_ctx *stack_engine(struct stack *st);

#endif
