// SPDX-License-Identifier: BSD-2-Clause
// The driver of the socket-rule tests: cases, the connection that a case gets, and its peer.
//
// A case is a function that gets one end of a connected TCP connection over 127.0.0.1. The other
// end is a peer that does what it is told: a second process, or a second thread of the same
// process. Cases run in both variants unless they say otherwise; in the first we connect, in the
// second we accept. Each runs in a forked child of its own with a time limit, so that a hang is a
// failure.
//
// Every byte that goes through a connection has a value given by its position in the stream, and
// every byte read is checked against it: nothing can be lost, doubled or moved unseen.
#ifndef TESTS_SOCK_SOCK_H
#define TESTS_SOCK_SOCK_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KIB          1024
#define MIB          (1024 * 1024)

// ---- failing ----------------------------------------------------------------------------------
// Prints "# file:line: text (errno)" and ends the process with 1. Safe in threads and handlers.
_Noreturn void sock_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Ends the case as skipped, with a reason.
_Noreturn void sock_skip(const char *reason);

#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond))                                                                               \
            sock_fail(__FILE__, __LINE__, "%s", #cond);                                            \
    } while (0)

#define REQUIRE_EQ(got, want)                                                                      \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_)                                                                         \
            sock_fail(__FILE__, __LINE__, "%s = %lld, want %lld", #got, got_, want_);              \
    } while (0)

// call must return -1 with errno == err.
#define REQUIRE_ERRNO(call, err)                                                                   \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long got_ = (long long)(call);                                                        \
        if (got_ != -1 || errno != (err))                                                          \
            sock_fail(__FILE__, __LINE__, "%s = %lld, want -1 with %s", #call, got_, #err);        \
    } while (0)

// ---- the connection of a case -----------------------------------------------------------------
struct conn;
// What a peer can be told to do: gets its own end, returns anything (by custom bytes, or -errno).
typedef int64_t (*peer_fn)(struct conn *self, int64_t arg);

struct conn {
    int fd;          // this end; -1 when closed
    uint64_t tx, rx; // stream positions: bytes written to and read from this end so far
    unsigned salt;   // 0 at the connecting end, 1 at the accepting one
    int ctl;         // commands to the peer, or from its master; -1 in a conn without a peer
    pid_t peer_pid;  // 0 when the peer is a thread
    pthread_t peer_thread;
};

enum sock_variant {
    SOCK_PROC,   // the peer is a process; we connect
    SOCK_THREAD, // the peer is a thread of ours; we accept
};

// Opens a connection with a peer; cases get an opened and warmed one and need this only for more.
// A peer process inherits our ends of the connections that were opened before it.
void conn_open(struct conn *c, enum sock_variant variant);

// Round trips until the connection had time to be switched. In mode shm it fails the case when the
// connection is not on shared memory in both directions then, in mode kernel when it is.
void conn_warm(struct conn *c);

// Closes our end if it is open, dismisses the peer, and requires that the peer found no fault.
void conn_end(struct conn *c);

// Closes our end.
void conn_close(struct conn *c);

// Writes n bytes of the stream, all of them, blocking.
void conn_write(struct conn *c, size_t n);
// Reads exactly n bytes of the stream and checks them.
void conn_read(struct conn *c, size_t n);
// Requires end of file.
void conn_read_eof(struct conn *c);
// Writes without blocking until the connection takes no more; returns the bytes it took.
size_t conn_fill_up(struct conn *c);

// The next n bytes that this end has to write, into buf. The caller adds what was written to c->tx.
void conn_next(const struct conn *c, void *buf, size_t n);
// Checks n bytes that were read into buf against the stream, and moves c->rx on.
void conn_check(struct conn *c, const void *buf, size_t n);
// The same without moving on (a peek), at off bytes after the read position.
void conn_compare(const struct conn *c, const void *buf, size_t n, uint64_t off);
// Waits up to 5 s until n bytes can be read without blocking (FIONREAD).
void conn_await(const struct conn *c, int n);

// ---- the peer ---------------------------------------------------------------------------------
int64_t peer_do(struct conn *c, peer_fn fn, int64_t arg); // and waits for what it returns
void peer_start(struct conn *c, peer_fn fn, int64_t arg); // begins now
void peer_start_later(struct conn *c, unsigned delay_ms, peer_fn fn, int64_t arg);
int64_t peer_finish(struct conn *c);     // waits for what was started
void peer_kill(struct conn *c, int sig); // process only; reaps it for SIGKILL

int64_t op_write(struct conn *self, int64_t n);      // writes n bytes; returns n
int64_t op_read(struct conn *self, int64_t n);       // reads n bytes; returns n
int64_t op_drain(struct conn *self, int64_t unused); // reads to the end; returns bytes, or -errno
int64_t op_echo(struct conn *self, int64_t n);       // writes as much as it reads, n bytes
int64_t op_write_echo(struct conn *self, int64_t n); // writes n bytes while reading n bytes
int64_t op_shutdown(struct conn *self, int64_t how);
int64_t op_close(struct conn *self, int64_t unused);
int64_t op_reset(struct conn *self, int64_t unused); // SO_LINGER 0 and close
int64_t op_exit(struct conn *self, int64_t status);  // process only: _exit without close
int64_t op_nothing(struct conn *self, int64_t unused);

// ---- bare sockets -----------------------------------------------------------------------------
// A listening socket on 127.0.0.1, in mode rdma on $VM_PEER, in mode tcp on this host's address, on
// a port that the kernel chose; its address into addr.
int sock_listen(struct sockaddr_in *addr);
// Where that is.
in_addr_t sock_address(void);
// Has the other host of mode tcp a shuntd of its own (SOCK_PEER_SHUNTD)? Peers are then processes
// that live there.
bool sock_both(void);
// Goes to live there, in a process that has one thread.
void sock_move_there(void);
// As sock_listen(), in mode tcp on the other host, which is the network namespace of SOCK_PEER_NS:
// this host's case then connects, and what is under test is its end.
int sock_listen_there(struct sockaddr_in *addr);
// In mode tcp from the host that addr is not on.
int sock_connect(const struct sockaddr_in *addr);
// Both ends in this process.
void sock_pair(int *client, int *server);
// Ping-pong between two ends that this thread holds, as conn_warm.
void sock_warm(int client, int server);
// Requires that fd is where the mode wants a warmed connection to be; true when it is (or plain).
bool sock_lane_ok(int fd, char *why, size_t why_len);
void sock_set_nonblock(int fd, bool on);
void sock_set_timeout(int fd, int opt, unsigned ms);
// poll(2) on one fd: the revents, 0 after timeout_ms.
int sock_poll(int fd, short events, int timeout_ms);

uint64_t now_ms(void);
void sleep_ms(unsigned ms);
// A cheap generator, so that a failing run can be repeated: same seed, same sizes.
uint32_t sock_random(uint64_t *state);

// ---- cases ------------------------------------------------------------------------------------
enum sock_mode {
    SOCK_PLAIN,  // no Shunt: the kernel defines what is right
    SOCK_KERNEL, // under Shunt, every lane forbidden
    SOCK_SHM,    // under Shunt, switched to shared memory
    SOCK_RDMA,   // under Shunt, switched to lane rdma, in a guest of ./dev vm
    SOCK_TCP,    // under Shunt, on its own TCP; the peer is a kernel socket of another host
};
extern enum sock_mode sock_mode;
// How many times slower than usual things may be: verbs are emulated, a machine is busy.
#define SOCK_PATIENCE 6

enum {
    SOCK_NO_THREAD = 1, // only with the peer in another process
    SOCK_NO_PROC = 2,   // only with the peer in a thread
    SOCK_BARE = 4,      // the case makes its own sockets: runs once, with c == NULL
    SOCK_COLD = 8,      // no warming up before the case
};

struct sock_case {
    const char *name;
    void (*run)(struct conn *c);
    unsigned flags;
    unsigned limit_s; // on a machine of our own; 0: 10 seconds
};

#define CASE(fn, ...)                                                                              \
    {                                                                                              \
        .name = #fn, .run = fn, ##__VA_ARGS__                                                      \
    }

struct sock_topic {
    const char *name;
    const struct sock_case *cases;
    size_t count;
};

#define SOCK_TOPIC(topic) const struct sock_topic topic_##topic = {#topic, cases, ARRAY_LEN(cases)}

// Every topic, ended by NULL (tests/sock/topics.c).
extern const struct sock_topic *const sock_topics[];

// The program itself, to be run again by cases that exec: with "--helper NAME" it runs that helper.
extern const char *sock_self;
// What helpers that are given an epoll set find there.
#define HELPER_DATA 0x1234567890abcdefull
// Runs a helper of tests/sock/helper.c and returns its exit status.
int sock_helper(int argc, char **argv);

#endif
