// SPDX-License-Identifier: BSD-2-Clause
// Socket options, and TCP_INFO out of the connection's state.
#include "stack_in.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

// Linux has an enumeration of that name too, with one member spelt alike.
#define tcp_ca_state linux_ca_state
#define TCP_CA_CWR   LINUX_CA_CWR
#include <linux/tcp.h>
#undef tcp_ca_state
#undef TCP_CA_CWR

#include "base/clock.h"
#include "base/util.h"
#include "tcp/snapshot.h"

#ifndef SOL_TCP
#define SOL_TCP IPPROTO_TCP
#endif
#ifndef SO_MAX_PACING_RATE
#define SO_MAX_PACING_RATE 47
#endif

// A socket option that is an option of the engine, times a factor; factor 0: yes or no.
struct opt_row {
    int level, name;
    enum tcp_option opt;
    uint32_t factor;
};

static const struct opt_row rows[] = {
    {SOL_TCP, TCP_NODELAY, TCP_SET_NODELAY, 0},
    {SOL_TCP, TCP_CORK, TCP_SET_CORK, 0},
    {SOL_TCP, TCP_QUICKACK, TCP_SET_QUICKACK, 0},
    {SOL_SOCKET, SO_KEEPALIVE, TCP_SET_KEEPALIVE, 0},
    {SOL_TCP, TCP_KEEPIDLE, TCP_SET_KEEP_IDLE_MS, 1000},
    {SOL_TCP, TCP_KEEPINTVL, TCP_SET_KEEP_INTERVAL_MS, 1000},
    {SOL_TCP, TCP_KEEPCNT, TCP_SET_KEEP_COUNT, 1},
    {SOL_TCP, TCP_USER_TIMEOUT, TCP_SET_USER_TIMEOUT_MS, 1},
    {SOL_TCP, TCP_SYNCNT, TCP_SET_SYN_RETRIES, 1},
    {SOL_TCP, TCP_MAXSEG, TCP_SET_MSS, 1},
    {SOL_IP, IP_TOS, TCP_SET_TOS, 1},
    {SOL_IPV6, IPV6_TCLASS, TCP_SET_TOS, 1},
    {SOL_SOCKET, SO_RCVBUF, TCP_SET_RCV_LIMIT, 1},
    {SOL_SOCKET, SO_MAX_PACING_RATE, TCP_SET_MAX_PACING, 1},
    {SOL_TCP, TCP_FASTOPEN, TCP_SET_FASTOPEN, 0},
    {SOL_TCP, TCP_DEFER_ACCEPT, TCP_SET_DEFER_ACCEPT, 1},
    {SOL_TCP, TCP_LINGER2, TCP_SET_LINGER2, 1},
};

void sock_apply_opts(struct stack *st, struct sock *s)
{
    for (int i = 0; i < SOCK_OPTS_MAX; i++)
        if (s->opts[i].set)
            tcp_set(&st->ctx, st->now_ns, s->conn, (enum tcp_option)i, s->opts[i].value);
}

static int set_opt(struct stack *st, struct sock *s, enum tcp_option opt, uint64_t value)
{
    int err = s->conn ? tcp_set(&st->ctx, st->now_ns, s->conn, opt, value) : 0;

    if (!err)
        s->opts[opt] = (struct sock_opt){true, value};
    stack_pump(st);
    return err;
}

static int set_congestion(struct stack *st, struct sock *s, const char *name, socklen_t len)
{
    char text[16];
    int cc;

    snprintf(text, sizeof(text), "%.*s", (int)len, name);
    cc = tcp_cc_named(strcmp(text, "reno") ? text : "newreno");
    return cc < 0 ? cc : set_opt(st, s, TCP_SET_CC, (uint64_t)cc);
}

static int set_linger(struct sock *s, const void *value, socklen_t len)
{
    struct linger l;

    if (len < sizeof(l))
        return -EINVAL;
    memcpy(&l, value, sizeof(l));
    s->linger_on = l.l_onoff;
    s->linger_s = l.l_linger;
    return 0;
}

// Linux writes "none" as a negative number of seconds.
static int set_linger2(struct stack *st, struct sock *s, int seconds)
{
    uint64_t value = seconds < 0 ? TCP_LINGER2_NONE : (uint64_t)MIN(seconds, TCP_LINGER2_NONE - 1);

    return set_opt(st, s, TCP_SET_LINGER2, value);
}

// Options that are the socket's own, or that mean nothing here and are accepted.
static int set_own(struct sock *s, int level, int name, int value)
{
    if (level == SOL_SOCKET && name == SO_SNDBUF) {
        s->tx_limit = (uint32_t)value;
        return 0;
    }
    if (level == SOL_TCP && name == TCP_FASTOPEN_CONNECT) {
        s->tfo_connect = value;
        return 0;
    }
    if (level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_REUSEPORT))
        return 0;
    return -ENOPROTOOPT;
}

int stack_setsockopt(struct stack *st, int fd, int level, int name, const void *value,
                     socklen_t len)
{
    struct sock *s = sock_of(st, fd);
    int number;

    if (!s)
        return -EBADF;
    if (level == SOL_TCP && name == TCP_CONGESTION)
        return set_congestion(st, s, value, len);
    if (level == SOL_SOCKET && name == SO_LINGER)
        return set_linger(s, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    if (level == SOL_TCP && name == TCP_LINGER2)
        return set_linger2(st, s, number);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].level == level && rows[i].name == name)
            return set_opt(st, s, rows[i].opt,
                           rows[i].factor ? (uint64_t)number * rows[i].factor : !!number);
    return set_own(s, level, name, number);
}

// Linux's numbers of the states (net/tcp_states.h) in the order of enum tcp_state.
static const uint8_t linux_state[TCP_STATES] = {7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6};

static uint32_t us(uint64_t ns)
{
    return (uint32_t)(ns / NS_PER_US);
}

static uint32_t segments(uint32_t bytes, uint32_t mss)
{
    return (bytes + mss - 1) / mss;
}

static struct tcp_info info_of(const struct stack *st, const struct tcp_conn *c)
{
    struct tcp_snapshot s;
    uint32_t mss;

    tcp_snapshot(&st->ctx, st->now_ns, c, &s);
    mss = MAX(s.mss, 1u);
    return (struct tcp_info){
        .tcpi_state = linux_state[s.state],
        .tcpi_ca_state = s.ca_state,
        .tcpi_retransmits = s.retries,
        .tcpi_probes = s.probes,
        .tcpi_backoff = s.backoff,
        .tcpi_options = (uint8_t)(s.ts_ok * TCPI_OPT_TIMESTAMPS | s.sack_ok * TCPI_OPT_SACK |
                                  s.wscale_ok * TCPI_OPT_WSCALE | s.ecn_ok * TCPI_OPT_ECN |
                                  s.syn_data * TCPI_OPT_SYN_DATA),
        .tcpi_snd_wscale = s.snd_wscale & 0xf,
        .tcpi_rcv_wscale = s.rcv_wscale & 0xf,
        .tcpi_delivery_rate_app_limited = s.app_limited,
        .tcpi_rto = us(s.rto_ns),
        .tcpi_ato = us(s.delack_ns),
        .tcpi_snd_mss = mss,
        .tcpi_rcv_mss = s.mss_received,
        .tcpi_unacked = s.state == TCP_LISTEN ? s.waiting : segments(s.unacked, mss),
        .tcpi_sacked = s.state == TCP_LISTEN ? s.backlog : segments(s.sacked, mss),
        .tcpi_lost = segments(s.lost, mss),
        .tcpi_retrans = segments(s.retrans, mss),
        .tcpi_last_data_sent = us(s.idle_tx_ns) / 1000,
        .tcpi_last_data_recv = us(s.idle_rx_ns) / 1000,
        .tcpi_pmtu = s.pmtu,
        .tcpi_rcv_ssthresh = s.rcv_limit,
        .tcpi_rtt = us(s.rtt_ns),
        .tcpi_rttvar = us(s.rttvar_ns),
        .tcpi_snd_ssthresh = s.ssthresh == UINT32_MAX ? INT32_MAX : s.ssthresh / mss,
        .tcpi_snd_cwnd = s.cwnd / mss,
        .tcpi_advmss = mss,
        .tcpi_rcv_space = s.rcv_limit,
        .tcpi_total_retrans = s.segs_retrans,
        .tcpi_pacing_rate = s.pacing_rate,
        .tcpi_bytes_acked = s.bytes_acked,
        .tcpi_bytes_received = s.bytes_received,
        .tcpi_notsent_bytes = s.unsent,
        .tcpi_min_rtt = us(s.min_rtt_ns),
        .tcpi_delivery_rate = s.bw,
        .tcpi_snd_wnd = s.snd_wnd,
    };
}

static int give(void *value, socklen_t *len, const void *from, size_t size)
{
    size_t n = MIN((size_t)*len, size);

    memcpy(value, from, n);
    *len = (socklen_t)n;
    return 0;
}

// What the connection says, or what was set for the one to come.
static uint64_t get_opt(const struct stack *st, const struct sock *s, enum tcp_option opt)
{
    uint64_t value = s->opts[opt].value;

    if (s->conn)
        tcp_get(&st->ctx, s->conn, opt, &value);
    return value;
}

static int get_own(const struct sock *s, int level, int name, void *value, socklen_t *len)
{
    struct linger l = {s->linger_on, s->linger_s};
    const char *cc;

    if (level == SOL_SOCKET && name == SO_LINGER)
        return give(value, len, &l, sizeof(l));
    if (level == SOL_TCP && name == TCP_CONGESTION && s->conn) {
        cc = tcp_cc_name(s->conn->cc);
        return cc ? give(value, len, cc, strlen(cc) + 1) : -EINVAL;
    }
    return -ENOPROTOOPT;
}

int stack_getsockopt(struct stack *st, int fd, int level, int name, void *value, socklen_t *len)
{
    struct sock *s = sock_of(st, fd);
    struct tcp_info info;
    int number;

    if (!s)
        return -EBADF;
    if (level == SOL_TCP && name == TCP_INFO) {
        info = s->conn ? info_of(st, s->conn) : (struct tcp_info){.tcpi_state = 7};
        return give(value, len, &info, sizeof(info));
    }
    if (level == SOL_SOCKET && name == SO_ERROR) {
        number = -s->error;
        s->error = 0;
        return give(value, len, &number, sizeof(number));
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].level != level || rows[i].name != name)
            continue;
        number = (int)(get_opt(st, s, rows[i].opt) / MAX(rows[i].factor, 1u));
        return give(value, len, &number, sizeof(number));
    }
    return get_own(s, level, name, value, len);
}
