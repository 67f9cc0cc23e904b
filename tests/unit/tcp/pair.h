// SPDX-License-Identifier: BSD-2-Clause
// Two engines on one in-memory link in virtual time; every segment that crosses it can be looked
// at, dropped or held back.
#ifndef SHUNT_TESTS_TCP_PAIR_H
#define SHUNT_TESTS_TCP_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "tcp/tcp.h"

#define PAIR_RING  (1u << 20)
#define PAIR_CONNS 64
#define PAIR_QUEUE 16384

// The rings of one connection, and what happened to it.
struct pair_end {
    uint8_t *tx, *rx;
    _Atomic uint64_t tx_head, tx_tail, rx_head, rx_tail;
    uint32_t events; // all that came so far
    int error;
};

struct pair_packet {
    uint64_t at_ns;
    struct segment seg;
    uint8_t *bytes;
    int to;
};

struct pair_side {
    struct tcp_sink sink;
    struct pair *pair;
    int index;
    void *mem;
    struct tcp_ctx ctx;
    struct pair_end ends[PAIR_CONNS]; // c->user is the index
    uint32_t ends_used;
    bool refuse_accept, full;
    struct segment last; // sent last
    uint64_t sent;
};

struct pair {
    struct pair_side side[2]; // 0 opens, 1 listens
    uint64_t now_ns, delay_ns;
    struct pair_packet *queue; // sorted by time
    uint32_t queued;
    struct tcp_path path;
    // What happens to a segment on the link: returns false to drop it; may change it and the delay.
    bool (*link)(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns);
    uint64_t count; // for link()
};

extern const struct ip_addr pair_addr[2];

// cfg NULL: the defaults. Start time 1 s, delay 10 ms each way, MTU 1,500, no super-frames.
struct pair *pair_new(const struct tcp_config *cfg);
struct pair *pair_new_path(const struct tcp_config *cfg, struct tcp_path path);
void pair_free(struct pair *p);

// Puts everything that the engines have to say on the link, without moving time.
void pair_flush(struct pair *p);

// Moves time to the next thing that happens, at most to until_ns. Returns false where nothing was
// left.
bool pair_step(struct pair *p, uint64_t until_ns);
void pair_run(struct pair *p, uint64_t for_ns);

// side 1 listens on port 80; side 0 connects; both run until established. Returns through c.
struct tcp_conn *pair_listen(struct pair *p);
void pair_connect(struct pair *p, struct tcp_conn *listener, struct tcp_conn *c[2]);

struct tcp_conn *pair_open(struct pair *p, uint16_t local_port);
// A new pair of rings; returns the word for c->user.
uint32_t pair_new_end(struct pair *p, int side);
struct pair_end *pair_end_of(struct pair *p, int side, const struct tcp_conn *c);

// The program's side: bytes that fit; len up to what the ring holds.
uint32_t pair_write(struct pair *p, int side, struct tcp_conn *c, const void *data, uint32_t len);
uint32_t pair_read(struct pair *p, int side, struct tcp_conn *c, void *data, uint32_t len);

#endif
