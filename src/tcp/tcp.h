// SPDX-License-Identifier: BSD-2-Clause
// The TCP engine. It is sans-I/O: it knows no clock, no device and no fd. Its host hands it
// segments and the time, takes segments from it through a sink, and calls it again when its
// deadline has come.
//
// An engine's memory (struct tcp_arena) is one block without pointers, so that several processes
// can share it, one at a time; struct tcp_ctx is one process's handle on it. Nothing is allocated
// after tcp_format(). No call blocks. Errors are 0 or a negative errno.
//
// The bytes of a connection lie in two rings that the host owns: the engine consumes the send ring
// (its tail moves when data is acknowledged, so retransmission reads the ring again) and produces
// into the receive ring (its free space is the window).
//
// The life of a connection for its host:
//   tcp_open() or tcp_accept() -> use -> tcp_close() or tcp_abort(), exactly once.
// After that call the host may not name the connection any more; it keeps the rings until
// TCP_EV_RELEASED, because queued data is still being sent.
#ifndef SHUNT_TCP_TCP_H
#define SHUNT_TCP_TCP_H

#include <stdint.h>

#include "base/ring.h"
#include "base/wheel.h"
#include "tcp/conn.h"
#include "wire/segment.h"

struct tcp_arena; // the shared part: arena.h
struct tcp_ctx;

enum tcp_dir { TCP_TX, TCP_RX };

// What happened; several may be joined in one call.
#define TCP_EV_RX        0x01 // the receive ring's head has moved
#define TCP_EV_TX        0x02 // the send ring's tail has moved
#define TCP_EV_CONNECTED 0x04 // an active open is through
#define TCP_EV_ACCEPT    0x08 // on the listener: its accept queue is not empty
#define TCP_EV_FIN       0x10 // the peer sends no more: end of file after the ring's bytes
#define TCP_EV_URGENT    0x20 // a new urgent pointer: tcp_urgent_pos()
#define TCP_EV_CLOSED    0x40 // over for good; conn->error is why, 0 after an orderly end
#define TCP_EV_RELEASED                                                                            \
    0x80 // the engine touches the rings no more (only after tcp_close, tcp_abort)
#define TCP_EV_DRAINED 0x100 // the peer has acknowledged everything and our FIN (for SO_LINGER)

// What the route to a peer offers.
struct tcp_path {
    uint16_t mtu; // of the IP packet, headers included; at least 576 (IPv4) or 1,280 (IPv6)
    uint32_t
        super_max; // largest payload that the queue takes as one segment and cuts itself; 0: none
};

// What the engine asks its host for. Called with the engine's state consistent; a callback may not
// call the engine back.
struct tcp_host {
    // Fills *view with a ring of c (c->user says whose). Returns 0, or -ENOBUFS where there is
    // none.
    int (*ring)(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view);
    // A child of a listener completes its handshake and needs rings and a word in c->user: the host
    // sets both up and returns 0, or refuses with -ENOBUFS, and then the handshake is retried by
    // the peer.
    int (*accept)(void *self, const struct tcp_conn *listener, struct tcp_conn *c);
    void (*event)(void *self, struct tcp_conn *c, uint32_t events);
    // The path to c->tuple.remote, asked once for a passive open.
    void (*path)(void *self, const struct tcp_conn *c, struct tcp_path *path);
    // Sees every state change; may be NULL.
    void (*moved)(void *self, const struct tcp_conn *c, enum tcp_state from, enum tcp_state to);
};

// Where segments go. put() takes the segment and copies or sends what it needs of it before it
// returns. Returns 0, or -EAGAIN when the queue is full: the engine then stops and keeps the
// connection ready.
struct tcp_sink {
    int (*put)(struct tcp_sink *sink, const struct segment *seg);
};

enum tcp_ecn { TCP_ECN_OFF, TCP_ECN_PASSIVE, TCP_ECN_ON };

// All with defaults from tcp_config_init().
struct tcp_config {
    uint32_t max_conns; // connections, listeners and TIME-WAIT together; default 1,024
    uint32_t max_spans; // scoreboard and reassembly nodes for all together; default 16,384
    uint8_t secret[32]; // entropy of this boot: all keys come from it. All zero in tests only.
    uint8_t cc;         // of new connections: tcp_cc_named(); default cubic
    uint8_t ecn;        // enum tcp_ecn; default TCP_ECN_PASSIVE
    bool timestamps, window_scaling, sack, tlp, mtu_probing, autotune, syn_cookies; // default true
    bool pacing;                 // of cubic and newreno; default false, as Linux (BBR paces always)
    bool tfo_client, tfo_server; // default false
    uint32_t initial_window;     // segments; default 10 (RFC 6928)
    uint32_t rcv_initial, rcv_max; // bytes of window offered at first and at most; 65,536, 16 MiB
    uint64_t rto_initial_ns, rto_min_ns, rto_max_ns;                   // 1 s, 200 ms, 120 s
    uint64_t delack_ns;                                                // 40 ms
    uint64_t time_wait_ns, fin_timeout_ns;                             // 60 s, 60 s
    uint8_t syn_retries, synack_retries, data_retries, orphan_retries; // 7, 5, 15, 8
    uint32_t keep_idle_ms, keep_interval_ms;                           // 7,200,000, 75,000
    uint8_t keep_count;                                                // 9
    uint16_t port_first, port_last; // ephemeral ports: 32,768 to 60,999
    uint32_t challenge_rate; // challenge ACKs a second and connection (RFC 5961, 7); default 2
};

// Counters of an engine, in the arena; they only grow, except the gauges.
struct tcp_counters {
    uint64_t segs_in, segs_out, bytes_in, bytes_out, segs_retrans, rsts_in, rsts_out;
    uint64_t active_opens, passive_opens, accept_overflows, resets, timeouts, drops_invalid;
    uint64_t rtos, fast_recoveries, tlps, undos, frto_spurious, dsacks_in, dsacks_out;
    uint64_t fast_path, challenge_acks, paws_drops, ooo_segs, ooo_drops, rcv_duplicates;
    uint64_t cookies_sent, cookies_ok, cookies_bad, time_wait_reused, time_wait_recycled;
    uint64_t ce_in, ece_in, mtu_reductions, mtu_probes, tfo_in, tfo_out, keepalives, zero_probes;
    uint64_t moves[TCP_STATES];        // state changes into each state
    uint32_t conns, time_waits, spans; // gauges
};

enum tcp_option {
    TCP_SET_NODELAY, // Nagle's algorithm off
    TCP_SET_CORK,    // only full segments until cleared; the rest waits 200 ms at most (tcp(7))
    TCP_SET_QUICKACK,
    TCP_SET_KEEPALIVE,
    TCP_SET_KEEP_IDLE_MS,
    TCP_SET_KEEP_INTERVAL_MS,
    TCP_SET_KEEP_COUNT,
    TCP_SET_USER_TIMEOUT_MS, // RFC 9293, 3.9.1; 0: the retry counts decide
    TCP_SET_SYN_RETRIES,
    TCP_SET_MSS,        // largest to announce and to send; before open or listen
    TCP_SET_CC,         // index from tcp_cc_named()
    TCP_SET_TOS,        // DSCP in the upper six bits
    TCP_SET_RCV_LIMIT,  // bytes: window offered at most; turns auto-tuning off
    TCP_SET_MAX_PACING, // bytes a second, whatever congestion control says; 0: none
    TCP_SET_FASTOPEN,   // of a listener: accept data in SYN; of an active open: send it
    // of a listener: how many seconds a child waits for data before it shows without; 0: not at
    // all. Counted in SYN-ACKs, as Linux does: tcp_get() says what came of it.
    TCP_SET_DEFER_ACCEPT,
    // seconds of FIN-WAIT-2 after tcp_close(), up to 120; 0: the default; TCP_LINGER2_NONE: none
    TCP_SET_LINGER2,
};

#define TCP_LINGER2_NONE 255

// Engine ------------------------------------------------------------------------------------------

void tcp_config_init(struct tcp_config *cfg);

// Bytes of memory that an engine of this configuration takes.
size_t tcp_arena_size(const struct tcp_config *cfg);

// Lays an engine into mem (tcp_arena_size() bytes, aligned to 64). Returns 0 or -EINVAL.
int tcp_format(void *mem, const struct tcp_config *cfg, uint64_t now_ns);

// Makes ctx this process's handle on the engine in the size bytes at mem. host and self stay the
// caller's and must outlive ctx. Returns 0, or -EPROTO where mem holds no engine of this version
// that fits.
//
// Others may write the arena while we work in it. Whatever they write, no call reads or writes
// outside of it and of the rings that the host lends, and each ends; connections may break.
int tcp_attach(struct tcp_ctx *ctx, void *mem, size_t size, const struct tcp_host *host,
               void *self);

// A segment from the wire, checksums proved. Answers that belong to no connection (RST, SYN
// cookies) go to sink at once; all others wait for tcp_output().
void tcp_input(struct tcp_ctx *ctx, uint64_t now_ns, const struct segment *seg,
               struct tcp_sink *sink);

// Sends what the ready connections have to send. Returns 0, or -EAGAIN when the sink was full
// first.
int tcp_output(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_sink *sink);

// Runs the timers that are due. Call tcp_output() after it.
void tcp_expire(struct tcp_ctx *ctx, uint64_t now_ns);

// When tcp_expire() must run next: CLOCK_NEVER when nothing waits. Calling later is late, never
// wrong.
uint64_t tcp_deadline(const struct tcp_ctx *ctx);

// An ICMP error about a packet of ours; the caller has parsed the quoted header. seq is the quoted
// sequence number; mtu counts for TCP_ICMP_TOO_BIG only. Returns true where a connection took it.
enum tcp_icmp { TCP_ICMP_SOFT, TCP_ICMP_HARD, TCP_ICMP_TOO_BIG };
bool tcp_icmp(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t, uint32_t seq,
              enum tcp_icmp kind, int err, uint16_t mtu);

const struct tcp_counters *tcp_counters(const struct tcp_ctx *ctx);

// The connection with that index, or NULL for an index out of range or free.
struct tcp_conn *tcp_conn_at(const struct tcp_ctx *ctx, uint32_t index);
uint32_t tcp_conn_index(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// The connection of exactly this tuple, or NULL.
struct tcp_conn *tcp_find(struct tcp_ctx *ctx, const struct tcp_tuple *t);

// The index of the congestion control of that name ("cubic", "newreno", "bbr"), or -ENOENT.
int tcp_cc_named(const char *name);

// The name of an index, or NULL beyond the last.
const char *tcp_cc_name(uint32_t index);

// Connections
// --------------------------------------------------------------------------------------

// Opens actively to t (local_port 0: the engine picks one, RFC 6056). user goes to c->user; the
// host's ring() must serve it from now on. Returns 0 and *out, -EADDRINUSE, -ENOBUFS (pool
// exhausted), or -EINVAL for addresses that cannot be. Progress comes as TCP_EV_CONNECTED or
// TCP_EV_CLOSED.
int tcp_open(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t,
             const struct tcp_path *path, uint64_t user, struct tcp_conn **out);

// Like tcp_open(), but sends nothing until tcp_connect() so that options can be set first.
int tcp_create(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t,
               const struct tcp_path *path, uint64_t user, struct tcp_conn **out);
int tcp_connect(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// Listens on local:local_port (an any-address listens on all). backlog counts children that wait in
// tcp_accept(), and as many again in handshake. Returns 0, -EADDRINUSE or -ENOBUFS.
int tcp_listen(struct tcp_ctx *ctx, uint64_t now_ns, const struct ip_addr *local,
               uint16_t local_port, uint32_t backlog, uint64_t user, struct tcp_conn **out);

// The next finished child of a listener, or NULL.
struct tcp_conn *tcp_accept(struct tcp_ctx *ctx, struct tcp_conn *listener);

// The program has put bytes into the send ring; the program has taken bytes from the receive ring.
// Both are cheap, and too many calls do no harm.
void tcp_tx_notify(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);
void tcp_rx_notify(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// The same for a write with MSG_MORE: a last segment that is not full waits for the next
// tcp_tx_notify(), 200 ms at most.
void tcp_tx_more(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// Half-closes: FIN after the bytes that are in the ring now. -ENOTCONN where there is nothing to
// close.
int tcp_shutdown_tx(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// The program reads no more (SHUT_RD). As with Linux that changes nothing on the wire: bytes that
// come go into the ring and the window closes when it is full; the host gives end of file where the
// ring is empty. Only when the sending side is closed, too, new bytes reset the connection.
void tcp_shutdown_rx(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// The host lets go. Bytes in the send ring still go out, then FIN. With bytes unread in the receive
// ring the peer gets a RST instead (RFC 2525, 2.17). Closing a listener resets its children.
void tcp_close(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// The host lets go at once: RST, nothing is sent any more (also SO_LINGER with time 0).
void tcp_abort(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c);

// The route has come to offer something else than when c was opened. What routers and probes had
// found out is of the old path. A smaller MTU sends again at once what was too big.
void tcp_path_changed(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c,
                      const struct tcp_path *path);

// Sets an option. Returns 0, -EINVAL for a value out of range, -ENOPROTOOPT.
int tcp_set(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c, enum tcp_option opt,
            uint64_t value);

// What an option is now: what was set, the default, or (quick ACKs, the MSS of a connection) what
// has come of it. Returns 0 and *value, or -ENOPROTOOPT.
int tcp_get(const struct tcp_ctx *ctx, const struct tcp_conn *c, enum tcp_option opt,
            uint64_t *value);

// Bytes in the send ring that have never gone (SIOCOUTQNSD, TCP_NOTSENT_LOWAT).
uint32_t tcp_unsent(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// The last byte in the send ring, or where ahead is not 0 of as many more that follow, is urgent
// (RFC 6093: sent as such, kept in the stream). Only what has not been sent yet can be.
void tcp_send_urgent(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c, uint32_t ahead);

// Stream position in the receive ring just behind the last urgent byte. -ENOENT where none is
// known.
int tcp_urgent_pos(const struct tcp_conn *c, uint64_t *pos);

// The engine's innards, for hosts that drive one connection themselves (tests, benchmarks)
// ------------

// RFC 9293, 3.10.7: the segment arrives for c, which it is known to belong to.
void tcp_conn_input(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns,
                    const struct segment *seg, struct tcp_sink *sink);

// Sends what c may send now. Returns 0 or -EAGAIN (the sink was full; c stays ready).
int tcp_conn_output(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns,
                    struct tcp_sink *sink);

// The earliest of c's timers, CLOCK_NEVER for none.
uint64_t tcp_conn_deadline(const struct tcp_conn *c);

// One process's handle.
struct tcp_ctx {
    struct tcp_arena *arena;
    struct tcp_conn *conns;
    struct tcp_span *spans;
    uint32_t *buckets;
    uint32_t bucket_mask;
    struct tcp_config cfg; // a copy: what the arena says may change under our hands
    const struct tcp_host *host;
    void *self;
    struct tcp_conn *last;  // found last by tcp_input(): the next segment is often for it
    uint32_t illegal_moves; // state changes that RFC 9293's figure 5 does not have
    uint32_t events;        // gathered for the connection at hand, told at the end of the call
};

#endif
