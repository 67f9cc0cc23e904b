// SPDX-License-Identifier: BSD-2-Clause
// What a connection is doing, for getsockopt(TCP_INFO), for statistics and for tests: everything
// that Linux's struct tcp_info tells and this engine knows, in bytes and nanoseconds.
#ifndef SHUNT_TCP_SNAPSHOT_H
#define SHUNT_TCP_SNAPSHOT_H

#include "tcp/tcp.h"

struct tcp_snapshot {
    uint8_t state, ca_state;          // enum tcp_state, enum tcp_ca_state
    uint8_t cc;                       // tcp_cc_name()
    uint8_t retries, probes, backoff; // without an answer, by now
    uint8_t snd_wscale, rcv_wscale;   // 0 where there is no window scaling
    bool ts_ok, sack_ok, wscale_ok, ecn_ok;
    bool syn_data;                // Fast Open: data went in the SYN, and was acknowledged
    bool app_limited;             // the program sends less than the path would take
    bool fin_received, fin_acked; // the peer's end of file; ours, and that the peer knows of it
    int error;                    // as conn->error: 0, or why it has ended
    int soft_error;               // 0, or -errno of the last ICMP error that ended nothing

    uint64_t rto_ns, delack_ns;
    uint64_t rtt_ns, rttvar_ns;      // RFC 6298; 0: no sample yet
    uint64_t min_rtt_ns;             // 0: no sample yet
    uint64_t idle_tx_ns, idle_rx_ns; // since a segment was last sent, last came; to the ms
    uint64_t pacing_rate;            // bytes a second; 0: not paced
    uint64_t bw;                     // bytes a second that BBR has seen; 0: other algorithms

    uint32_t mss, mss_received; // payload: of a full segment, options taken off; largest that came
    uint32_t pmtu;
    uint32_t cwnd, ssthresh;                 // bytes; ssthresh UINT32_MAX: none yet
    uint32_t snd_wnd, rcv_wnd;               // bytes that the peer, that we let come now
    uint32_t rcv_limit;                      // bytes of window that auto-tuning has arrived at
    uint32_t unacked, sacked, lost, retrans; // bytes in flight, and of these; retrans: sent again
    uint32_t unsent;                         // bytes in the send ring that have never gone
    uint32_t segs_retrans;                   // segments sent again since the beginning
    // positions in the streams: counts, where the rings began at 0
    uint64_t bytes_acked, bytes_received;

    uint32_t backlog, waiting; // of a listener: limit and length of its accept queue
};

// Fills *out. Any connection that the host holds, in any state; nothing is changed.
void tcp_snapshot(const struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_conn *c,
                  struct tcp_snapshot *out);

#endif
