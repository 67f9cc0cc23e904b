// SPDX-License-Identifier: BSD-2-Clause
// What the files of the stack share.
#ifndef SHUNT_TESTS_PACKET_STACK_IN_H
#define SHUNT_TESTS_PACKET_STACK_IN_H

#include "base/list.h"
#include "stack.h"

#define STACK_SOCKS   64
#define SOCK_OPTS_MAX 24 // more than enum tcp_option has members

// One ring with its cursors.
struct sock_ring {
    uint8_t *base;
    _Atomic uint64_t head, tail;
};

struct sock_opt {
    bool set;
    uint64_t value;
};

// A socket from socket() or the engine's accept() until the engine has let go of its rings.
struct sock {
    bool used, open; // open: an fd names it
    bool nonblock, bound, listening, linger_on;
    bool connected, fin, shut_rx, shut_tx, tfo_connect, tfo_pending;
    size_t tfo_bytes; // taken by a blocking write that still waits for its handshake
    int domain, fd, linger_s, error;
    struct tcp_conn *conn; // NULL before the connection, and after it is closed
    struct tcp_tuple tuple;
    struct sock_ring ring[2]; // by enum tcp_dir
    uint32_t tx_limit;        // SO_SNDBUF; 0: the ring
    struct sock_opt opts[SOCK_OPTS_MAX];
};

struct sent_packet {
    struct list node;
    uint64_t sent_ns;
    size_t len;
    uint8_t bytes[];
};

struct stack {
    struct stack_config cfg;
    uint64_t now_ns;
    void *mem;
    struct tcp_ctx ctx;
    struct tcp_host host;
    struct tcp_sink sink;
    struct list sent;
    uint16_t ip_id;
    struct sock socks[STACK_SOCKS];
};

// Runs the engine until it has nothing more to send now.
void stack_pump(struct stack *st);

// The socket of that fd, or NULL.
struct sock *sock_of(struct stack *st, int fd);

// The socket of a connection, or NULL.
struct sock *sock_of_conn(struct stack *st, const struct tcp_conn *c);

// A new socket with rings, or NULL.
struct sock *sock_new(struct stack *st, int domain);
void sock_free(struct sock *s);

// The word by which the engine's host finds the socket of a connection.
static inline uint64_t sock_user(const struct stack *st, const struct sock *s)
{
    return (uint64_t)(s - st->socks) + 1;
}

// Gives the options that were set before there was a connection to the connection.
void sock_apply_opts(struct stack *st, struct sock *s);

#endif
