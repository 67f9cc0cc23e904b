// SPDX-License-Identifier: BSD-2-Clause
// The state of one connection. It lives in shared memory: no pointers, indexes and stream positions
// only. Everything beside its two rings fits 512 bytes; loss and disorder borrow spans (span.h).
#ifndef SHUNT_TCP_CONN_H
#define SHUNT_TCP_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "wire/addr.h"

#define TCP_NONE UINT32_MAX // no connection, no span

// RFC 9293, 3.3.2. CLOSED also stands for a connection that has ended and waits for its host to let
// go.
enum tcp_state {
    TCP_CLOSED,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_TIME_WAIT,
    TCP_STATES,
};

// Index-linked list membership; TCP_NONE ends a list.
struct tcp_link {
    uint32_t next, prev;
};

struct tcp_tuple {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
};

// What the one loss timer is armed for; at most one of them at any time.
enum tcp_loss_timer {
    TCP_LOSS_NONE,
    TCP_LOSS_RTO,     // RFC 6298
    TCP_LOSS_REORDER, // RFC 8985, 6.2
    TCP_LOSS_TLP,     // RFC 8985, 7
    TCP_LOSS_PERSIST, // RFC 9293, 3.8.6.1
};

enum tcp_timer {
    TCP_TIMER_LOSS,
    TCP_TIMER_DELACK,
    TCP_TIMER_LIFE, // keep-alive; FIN-WAIT-2 of an orphan; TIME-WAIT
    TCP_TIMER_PACE,
    TCP_TIMERS,
};

enum tcp_ca_state { TCP_CA_OPEN, TCP_CA_DISORDER, TCP_CA_CWR, TCP_CA_RECOVERY, TCP_CA_LOSS };

struct cc_cubic {
    uint64_t epoch_ns;  // start of the present growth; 0: none
    uint64_t k_ns;      // time from there to w_max
    uint32_t w_max;     // bytes
    uint32_t w_est;     // bytes: what Reno would have
    uint32_t est_acked; // bytes acked, not yet counted into w_est
    uint32_t frac;      // bytes of growth times cwnd, carried over
};

struct hystart {
    uint64_t round_min_ns, last_min_ns;
    uint32_t round_end; // sequence number
    uint32_t css_base_us;
    uint8_t samples, css_rounds;
    bool css, done;
};

struct cc_bbr {
    uint64_t bw[3];       // windowed maximum of the delivery rate, bytes a second
    uint32_t bw_round[3]; // the rounds they were seen in
    uint32_t round;
    uint64_t next_round_delivered;
    uint64_t probe_rtt_done_ns, cycle_ns;
    uint64_t full_bw;
    uint8_t mode, cycle, full_count;
    uint8_t round_start : 1, full : 1, probe_rtt_round : 1, restore : 1, idle : 1;
    uint32_t prior_cwnd;
};

// Hot fields first. Units: bytes, ns (_ns), ms (_ms), sequence numbers where no unit is named.
struct tcp_conn {
    struct tcp_tuple tuple; // immutable between open and release
    uint32_t hash_next;     // demux chain
    uint8_t state;          // enum tcp_state; written by tcp_conn_move() alone
    uint8_t ca_state;       // enum tcp_ca_state
    uint8_t cc;             // index into the table of cc.c
    uint8_t loss_timer;     // enum tcp_loss_timer

    // RFC 9293, 3.3.1: send sequence variables
    uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, snd_up, iss;
    uint32_t snd_wnd_max; // largest window seen: for silly-window avoidance
    uint32_t tx_seq;      // sequence number of the ring byte at tx_pos
    uint64_t tx_pos;      // stream position of the first unacknowledged byte

    // receive sequence variables
    uint32_t rcv_nxt, rcv_up, irs;
    uint32_t rcv_adv;   // right edge last advertised
    uint32_t rcv_acked; // rcv_nxt that the last segment sent carried (Last.ACK.sent of RFC 7323)
    uint32_t rcv_limit; // bytes of the receive ring that auto-tuning offers
    uint64_t rx_pos;    // stream position of rcv_nxt (the FIN takes none)
    uint32_t ts_recent;
    uint32_t ts_offset; // added to our clock for this peer
    uint64_t ts_recent_ns;

    uint16_t mss;      // payload bytes of a full segment to this peer, options taken off
    uint16_t mss_peer; // what its SYN said
    uint16_t mss_rcv;  // largest payload lately seen: when to acknowledge
    uint16_t pmtu;
    uint32_t super_max; // largest payload in one segment; mss where the queue does not cut
    uint8_t snd_wscale, rcv_wscale;
    uint8_t quick_acks; // acknowledge at once that many times
    uint8_t dupacks;

    // negotiated, set and pending; one bit each
    uint32_t wscale_ok : 1, ts_ok : 1, sack_ok : 1, ecn_ok : 1;
    uint32_t ece_pending : 1; // a CE mark was seen: ECE until CWR
    uint32_t cwr_pending : 1; // the window was cut for ECE: CWR with the next new data
    uint32_t ack_now : 1, ack_delayed : 1, challenge : 1, probe_now : 1, tlp_now : 1, rst_now : 1;
    uint32_t fin_queued : 1; // the program has closed its sending side
    uint32_t fin_sent : 1, fin_acked : 1, fin_received : 1;
    uint32_t rx_shut : 1; // the program reads no more
    uint32_t orphan : 1;  // the host has let go: release when done
    uint32_t has_rings : 1, active_open : 1, ready : 1, in_wheel_tw : 1;
    uint32_t nodelay : 1, cork : 1, quickack : 1, keepalive : 1, urgent_valid : 1;
    uint32_t rack_reordered : 1, tlp_retrans : 1, frto : 1, wnd_limited : 1, hole_seen : 1;
    uint8_t tfo : 4; // enum in tfo.h
    uint8_t urgent_inline : 1;

    // round trip: RFC 6298
    uint64_t srtt_ns, rttvar_ns, rto_ns, min_rtt_ns, min_rtt_at_ns;
    uint8_t backoff, retries, probes, syn_retries;

    // in flight: the scoreboard of spans
    uint32_t span_first, span_last, span_hint;
    uint32_t ooo_first; // spans of data received out of order
    uint16_t span_count, ooo_count;
    uint32_t sacked, lost, retrans; // bytes
    uint32_t recovery_point;        // ends the present recovery

    // congestion window, PRR (RFC 6937), undo
    uint32_t cwnd, ssthresh, prior_cwnd, prior_ssthresh;
    uint32_t prr_delivered, prr_out, prr_flight;
    uint32_t undo_point, undo_bytes;
    uint32_t retrans_ts; // timestamp of the first retransmission: Eifel detection

    // RACK-TLP (RFC 8985)
    uint64_t rack_sent_ns, rack_rtt_ns;
    uint32_t rack_end, rack_fack, rack_dsack_end, tlp_end;
    uint8_t rack_mult, rack_persist;

    // delivery rate and pacing
    uint64_t delivered, delivered_ns, rate_first_ns, app_limited;
    uint64_t pacing_rate; // bytes a second; 0: not paced
    union {
        struct {
            struct cc_cubic cubic;
            struct hystart hystart;
        };
        struct cc_bbr bbr;
    };

    // timers
    uint64_t timer_ns[TCP_TIMERS]; // CLOCK_NEVER: off
    struct wheel_node wheel;       // armed at or before the earliest of them
    uint64_t last_rx_ns, last_tx_ns;

    // receive-side acknowledgement detail
    struct {
        uint32_t start, end;
    } dsack;                 // end == start: none to report
    uint32_t sack_recent[3]; // starts of the spans that changed last, latest first

    // path MTU, receive auto-tuning
    uint16_t mtu_low, mtu_high, mtu_probe;
    uint32_t mtu_probe_end;
    uint64_t mtu_next_ns;
    uint64_t tune_ns, tune_pos;

    // options that the program sets
    uint32_t keep_idle_ms, keep_interval_ms, user_timeout_ms;
    uint8_t keep_count, tos;
    int16_t error; // 0, or the negative errno that ended the connection or waits to be read

    // places
    uint32_t listener;               // of a child: its listener until accepted
    uint32_t backlog, pending, syns; // of a listener: limit, accept queue, SYN queue
    struct tcp_link out;             // list of connections with something to send
    struct tcp_link side;            // accept queue, TIME-WAIT list or free list
    uint64_t user;                   // the host's own word
};


#endif
