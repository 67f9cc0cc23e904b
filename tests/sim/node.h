// SPDX-License-Identifier: BSD-2-Clause
// One host of the simulator: an engine, and a program on each of its connections that sends so many
// bytes, reads what comes, checks each byte, and ends in the way that it was told.
#ifndef SHUNT_TESTS_SIM_NODE_H
#define SHUNT_TESTS_SIM_NODE_H

#include "link.h"
#include "tcp/tcp.h"

#define NODE_ENDS 32

struct end_plan {
    uint64_t send_bytes;    // then the sending side is closed
    uint32_t chunk_bytes;   // of one write
    uint64_t read_every_ns; // 0: at once
    uint32_t read_bytes;    // at a time; 0: all
    uint64_t abort_at_ns;   // CLOCK_NEVER: never
    uint64_t close_at_ns;   // close() without waiting for anything; CLOCK_NEVER: never
    bool urgent;            // one of the writes is urgent
};

struct end {
    bool used;
    struct tcp_conn *conn; // NULL once it was let go
    struct end_plan plan;
    uint64_t key;      // of the bytes that it sends
    uint64_t peer_key; // of the bytes that it reads
    uint8_t *ring[2];  // by enum tcp_dir
    _Atomic uint64_t head[2], tail[2];
    uint64_t next_read_ns;
    uint64_t first_read_ns, last_read_ns; // when bytes were read first and last
    bool begun, fin_sent, fin_seen, closed, connected;
    int error; // that ended the connection
};

// How a connection's end came out, kept when the end itself is free again.
struct end_result {
    uint64_t written, read, first_read_ns, last_read_ns;
    bool ended, fin_seen, aborted;
    int error;
};

struct node {
    struct tcp_config cfg;
    struct tcp_path path;
    uint32_t ring_bytes[2]; // by enum tcp_dir
    uint64_t now_ns;
    void *mem;
    struct tcp_ctx ctx;
    struct tcp_host host;
    struct tcp_sink sink;
    struct link *out;
    struct tcp_conn *listener;
    struct end ends[NODE_ENDS];
    struct end_result results[NODE_ENDS];
    struct end_plan accept_plan; // of what is accepted next
    uint64_t refused;            // packets that did not parse: the corrupted ones
    const char *wrong;           // the first thing that was not as it must be
};

// Returns 0 or what the engine said. out is where its packets go.
int node_init(struct node *n, const struct tcp_config *cfg, const struct tcp_path *path,
              const uint32_t ring_bytes[2], struct link *out, uint64_t now_ns);
void node_fini(struct node *n);

int node_listen(struct node *n, uint16_t port);
void node_close_listener(struct node *n);

// Opens a connection to the other node's port. Returns the index of its end, or a negative errno.
int node_connect(struct node *n, uint16_t port, const struct end_plan *plan);

// The programs do what they can, and the engine sends what it has.
void node_work(struct node *n, uint64_t now_ns);

// A packet arrives.
void node_receive(struct node *n, uint64_t now_ns, const void *packet, size_t len);

// When the node wants to work next.
uint64_t node_next(const struct node *n);

// True when no end is in use.
bool node_idle(const struct node *n);

// The byte of a stream at a position.
static inline uint8_t stream_byte(uint64_t key, uint64_t pos)
{
    uint64_t x = (pos + key) * 0x9e3779b97f4a7c15u;

    return (uint8_t)(x >> 56);
}

#endif
