// SPDX-License-Identifier: BSD-2-Clause
// The state of one connection. It lives in shared memory: no pointers, indexes and stream positions
// only. Everything beside its two rings fits 512 bytes; loss and disorder borrow spans (span.h).
#ifndef SHUNT_TCP_CONN_H
#define SHUNT_TCP_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "wire/segment.h"

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
    TCP_LOSS_CORK,    // no loss: nothing is in flight, and a cork holds what waits
};

enum tcp_timer {
    TCP_TIMER_LOSS,
    TCP_TIMER_DELACK,
    TCP_TIMER_LIFE, // keep-alive; FIN-WAIT-2 of an orphan; TIME-WAIT
    TCP_TIMER_PACE,
    TCP_TIMERS,
};

enum tcp_ca_state { TCP_CA_OPEN, TCP_CA_DISORDER, TCP_CA_CWR, TCP_CA_RECOVERY, TCP_CA_LOSS };

struct cc_cubic {      // RFC 9438
    uint64_t epoch_ns; // start of the present growth; 0: none
    uint64_t k_ns;     // time from there to w_max
    uint32_t w_max;    // bytes
    uint32_t w_start;  // bytes: the window when the epoch began
    uint32_t w_est;    // bytes: what Reno would have
};

struct hystart {                                     // RFC 9406
    uint32_t round_min_ns, last_min_ns, css_base_ns; // UINT32_MAX: not known
    uint32_t round_end;                              // sequence number
    uint8_t samples, css_rounds;
    bool css, done;
};

struct cc_bbr {
    uint64_t bw[2]; // bytes a second: maximum of this half of the filter's window, and of the last
    uint64_t full_bw;
    uint32_t probe_rtt_done_ms, cycle_us; // 0: not there yet; start of the present phase
    uint32_t round, half_round;           // round trips seen; the one in which bw[0] began
    uint32_t round_delivered; // a round ends when data sent after this mark is acknowledged
    uint32_t prior_cwnd;
    uint8_t mode, cycle, full_count;
    uint8_t round_start : 1, full : 1, probe_rtt_round : 1, idle : 1;
    uint8_t recovering : 1, conserve : 1;
};

// Units: bytes, ns (_ns), ms (_ms), sequence numbers where no unit is named. What one segment of a
// bulk transfer touches comes first.
struct tcp_conn {
    struct tcp_tuple tuple; // immutable between open and release
    uint32_t hash_next;     // demux chain
    uint64_t user;          // the host's own word
    uint64_t tx_pos;        // stream position of the first unacknowledged byte, at tx_seq
    uint64_t rx_pos;        // stream position of rcv_nxt (the FIN takes none)

    uint64_t srtt_ns;      // RFC 6298; 0: no sample yet
    uint32_t rttvar_ns;    // saturates at 4.29 s
    uint32_t pacing_max;   // TCP_SET_MAX_PACING: bytes a second; 0: none
    uint64_t rack_sent_ns; // RFC 8985: when the newest that was delivered had been sent
    uint64_t delivered_ns, rate_first_ns; // delivery rate: last delivery; start of the sample
    uint64_t pacing_rate;                 // of the congestion control: bytes a second; 0: not paced
    uint64_t timer_ns[TCP_TIMERS];        // CLOCK_NEVER: off
    union {
        struct {
            struct cc_cubic cubic;
            struct hystart hystart;
        };
        struct cc_bbr bbr;
        struct {                                   // of a listener
            uint32_t backlog, waiting, handshakes; // limit; accept queue; SYN queue
            struct tcp_link accept, syns;          // first and last of both queues
            uint8_t defer; // TCP_SET_DEFER_ACCEPT, in SYN-ACKs sent again; 0: off
        } listen;
    };

    uint8_t state;      // enum tcp_state; written by tcp_conn_move() alone
    uint8_t ca_state;   // enum tcp_ca_state
    uint8_t cc;         // index into the table of cc.c
    uint8_t loss_timer; // enum tcp_loss_timer

    // RFC 9293, 3.3.1: send sequence variables
    uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, snd_up;
    uint32_t snd_wnd_max; // largest window seen: for silly-window avoidance
    uint32_t snd_short;   // end of the last segment that was not full: for Nagle's algorithm
    uint32_t tx_seq;      // sequence number of the ring byte at tx_pos

    // receive sequence variables
    uint32_t rcv_nxt, rcv_up;
    uint32_t rcv_adv;   // right edge last advertised
    uint32_t rcv_acked; // rcv_nxt that the last segment sent carried (Last.ACK.sent of RFC 7323)
    uint32_t rcv_limit; // bytes of the receive ring that auto-tuning offers
    uint32_t ts_recent, ts_recent_s;
    uint32_t ts_offset; // added to our clock for this peer

    // agreed upon with the peer
    uint32_t wscale_ok : 1, ts_ok : 1, sack_ok : 1, ecn_ok : 1;
    // to be sent; ack_now is below
    uint32_t rst_now : 1, probe_now : 1, tlp_now : 1;
    uint32_t force : 1;       // what fits the window goes, however small
    uint32_t ece_pending : 1; // a CE mark was seen: ECE until CWR
    uint32_t cwr_pending : 1; // the window was cut for ECE: CWR with the next new data
    // the ends of the streams
    uint32_t fin_queued : 1; // the program has closed its sending side
    uint32_t fin_sent : 1, fin_received : 1;
    uint32_t fin_ahead : 1; // the last number received out of order is the peer's FIN
    uint32_t rx_shut : 1;   // the program reads no more
    uint32_t orphan : 1;    // the host has let go: release when done
    uint32_t has_rings : 1, active : 1;
    uint32_t in_use : 1;               // not in the free list
    uint32_t queued : 1, in_table : 1; // in a listener's list, in the demux table
    // options of the program
    uint32_t nodelay : 1, cork : 1, quickack : 1, keepalive : 1, tune_off : 1;
    uint32_t deferred : 1; // of a child: its handshake is through, but TCP_SET_DEFER_ACCEPT waits
    uint32_t tfo : 1;      // Fast Open wanted
    uint32_t tfo_data : 1; // the SYN carried data, and (once established) it was taken
    uint32_t tfo_ask : 1;  // of a child: its SYN-ACK brings a cookie
    // loss detection
    uint8_t reordered : 1, tlp_out : 1, tlp_retrans : 1;
    uint8_t syn_lost : 1, urgent_in : 1, urgent_out : 1;
    uint8_t frto : 2; // RFC 5682, 3.1: the step that the next acknowledgement is for; 0: not in use
    // What every segment writes has bytes of its own: a load that is wider than the last store
    // waits.
    uint8_t blocked : 1; // the last output kept something back: an ACK may free it
    uint8_t wnd_limited : 1;
    uint8_t more : 1;   // tcp_tx_more(): a short segment waits for what follows
    uint8_t ack_now;    // an acknowledgement is to be sent
    uint8_t quick_acks; // acknowledge at once that many times
    uint8_t dupacks;
    uint8_t snd_wscale : 4, rcv_wscale : 4;
    uint8_t backoff, retries, probes;
    uint8_t tos;
    uint8_t soft_error; // errno of the last soft ICMP error: why a handshake timed out
    uint8_t rack_mult, rack_persist, syn_retries, keep_count;
    uint8_t linger2_s; // TCP_SET_LINGER2

    uint16_t mss;       // payload bytes of a full segment to this peer, options taken off
    uint16_t mss_peer;  // what its SYN said
    uint16_t mss_rcv;   // largest payload lately seen: when to acknowledge
    uint16_t mss_user;  // TCP_SET_MSS; 0: none
    uint16_t super_max; // largest payload in one segment; at least mss
    uint16_t super_cap; // what the queue takes at most

    // in flight: the scoreboard of spans
    uint32_t span_first, span_last, span_hint;
    uint32_t ooo_first; // spans of data received out of order
    uint16_t span_count;
    uint8_t ooo_count;
    uint8_t ready;                  // in the list of those with something to send
    uint32_t sacked, lost, retrans; // bytes

    // congestion window, PRR (RFC 6937), undo
    uint32_t cwnd, ssthresh, prior_cwnd, prior_ssthresh;
    uint32_t recovery_point; // ends the present recovery
    uint32_t prr_delivered, prr_out, prr_flight;
    uint32_t undo_point; // SND.UNA when the window was cut
    uint32_t undo_bytes; // sent again since, and not yet reported twice; UINT32_MAX: no undo
    uint32_t retrans_ts; // timestamp of the first retransmission: Eifel detection

    // round trip: RFC 6298
    uint32_t min_rtt_ns; // UINT32_MAX: none; saturates at 4.29 s
    uint32_t min_rtt_at_ms;

    // RACK-TLP (RFC 8985)
    uint32_t rack_rtt_ns, rack_end, rack_fack, rack_dsack_end, tlp_end;

    uint32_t delivered, app_limited; // bytes, modulo 2^32
    // timers
    struct wheel_node wheel; // armed at or before the earliest of them
    uint32_t last_rx_ms, last_tx_ms;
    uint32_t stall_ms; // since when nothing of what is in flight, or waits, was acknowledged

    // receive-side acknowledgement detail
    struct seg_range dsack; // end == start: none to report
    uint32_t challenge_ms;  // when the last challenge ACK went out

    // path MTU, receive auto-tuning
    uint16_t pmtu, mtu_low, mtu_high, mtu_probe; // 0: no search, no probe under way
    uint16_t mtu_next_s;
    int16_t error; // 0, or the negative errno that ended the connection
    uint32_t tune_us, tune_seq;

    uint32_t keep_idle_ms, keep_interval_ms, user_timeout_ms;
    uint32_t listener;     // of a child until it is accepted
    uint32_t segs_retrans; // segments that were sent again
    uint32_t ready_next;   // list of connections with something to send
    struct tcp_link side;  // accept queue, TIME-WAIT list or free list
};

_Static_assert(sizeof(struct tcp_conn) <= 512, "a connection costs at most 512 bytes");

#endif
