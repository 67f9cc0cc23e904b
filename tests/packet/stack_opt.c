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
#include "tcp/ack.h"

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
    {SOL_TCP, TCP_DEFER_ACCEPT, TCP_SET_DEFER_ACCEPT, 0},
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

static struct tcp_info info_of(const struct stack *st, const struct tcp_conn *c)
{
    uint32_t mss = MAX(c->mss, (uint16_t)1);

    return (struct tcp_info){
        .tcpi_state = linux_state[c->state],
        .tcpi_ca_state = c->ca_state,
        .tcpi_retransmits = c->retries,
        .tcpi_probes = c->probes,
        .tcpi_backoff = c->backoff,
        .tcpi_options = (uint8_t)(c->ts_ok * TCPI_OPT_TIMESTAMPS | c->sack_ok * TCPI_OPT_SACK |
                                  c->wscale_ok * TCPI_OPT_WSCALE | c->ecn_ok * TCPI_OPT_ECN),
        .tcpi_snd_wscale = c->snd_wscale & 0xf,
        .tcpi_rcv_wscale = c->rcv_wscale & 0xf,
        .tcpi_rto = us(rtt_rto_ns(&st->ctx, c)),
        .tcpi_snd_mss = mss,
        .tcpi_rcv_mss = c->mss_rcv,
        .tcpi_unacked = (c->snd_nxt - c->snd_una + mss - 1) / mss,
        .tcpi_sacked = (c->sacked + mss - 1) / mss,
        .tcpi_lost = (c->lost + mss - 1) / mss,
        .tcpi_retrans = (c->retrans + mss - 1) / mss,
        .tcpi_pmtu = c->pmtu,
        .tcpi_rtt = us(c->srtt_ns),
        .tcpi_rttvar = us(c->rttvar_ns),
        .tcpi_snd_ssthresh = c->ssthresh == UINT32_MAX ? INT32_MAX : c->ssthresh / mss,
        .tcpi_snd_cwnd = c->cwnd / mss,
        .tcpi_advmss = c->mss,
        .tcpi_min_rtt = c->min_rtt_ns == UINT32_MAX ? 0 : us(c->min_rtt_ns),
        .tcpi_snd_wnd = c->snd_wnd,
    };
}

static int give(void *value, socklen_t *len, const void *from, size_t size)
{
    size_t n = MIN((size_t)*len, size);

    memcpy(value, from, n);
    *len = (socklen_t)n;
    return 0;
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
    if (level == SOL_TCP && name == TCP_MAXSEG && s->conn) {
        number = s->conn->mss;
        return give(value, len, &number, sizeof(number));
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].level != level || rows[i].name != name)
            continue;
        number = (int)(s->opts[rows[i].opt].value / MAX(rows[i].factor, 1u));
        return give(value, len, &number, sizeof(number));
    }
    return -ENOPROTOOPT;
}
