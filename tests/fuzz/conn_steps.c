// SPDX-License-Identifier: BSD-2-Clause
#include "conn_steps.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/options.h"
#include "wire/packet.h"
#include "wire/text.h"

#define PORT  8080
#define PEERS 3 // ports of the peer that segments come from
#define FDS   6

struct stack *conn_stack;
struct stack_config conn_cfg;

// A connection of ours to aim at; one of the peer's ports tells which.
static const struct tcp_conn *target(uint16_t peer_port)
{
    struct tcp_ctx *ctx = stack_engine(conn_stack);

    for (uint32_t i = 0; i < conn_cfg.tcp.max_conns; i++) {
        const struct tcp_conn *c = tcp_conn_at(ctx, i);

        if (c && c->state > TCP_LISTEN && c->tuple.remote_port == peer_port)
            return c;
    }
    return NULL;
}

// A number near one that matters: small steps, whole segments, or far away.
static uint32_t near(struct input *in, uint32_t seq)
{
    uint8_t how = input_u8(in);
    int8_t step = (int8_t)input_u8(in);

    switch (how % 4) {
    case 0:
        return seq;
    case 1:
        return seq + (uint32_t)step;
    case 2:
        return seq + (uint32_t)(step * 100);
    default:
        return input_u32(in);
    }
}

static void random_options(struct input *in, struct segment *s, uint32_t ack)
{
    s->opts = input_u8(in);
    s->mss = input_u16(in);
    s->wscale = input_u8(in) % 16;
    s->ts_val = input_u32(in);
    s->ts_ecr = near(in, (uint32_t)(stack_now(conn_stack) / NS_PER_MS));
    s->sack_count = (uint8_t)(1 + input_u8(in) % SEG_SACK_MAX);
    for (int i = 0; i < s->sack_count; i++) {
        s->sack[i].start = near(in, ack);
        s->sack[i].end = near(in, s->sack[i].start);
    }
    s->tfo_len = (uint8_t)(input_u8(in) % 8 * 2 + 2);
    if (s->tfo_len == 2)
        s->tfo_len = 0;
    if (!(s->flags & SEG_SYN))
        s->opts &= SEG_OPT_TS | SEG_OPT_SACK | SEG_OPT_UTO;
    if (options_bytes(s) > 40)
        s->opts &= SEG_OPT_TS | SEG_OPT_MSS;
}

static void step_segment(struct input *in)
{
    static const uint8_t payload[4096];
    uint8_t bytes[8192], which = input_u8(in);
    uint16_t port = (uint16_t)(40001 + which % PEERS);
    const struct tcp_conn *c = target(port);
    struct packet_ip ip = {.ttl = 64};
    struct segment s = {.src = conn_cfg.local4, .src_port = port, .dst_port = PORT};

    ip_addr_parse("192.0.2.1", &s.src);
    s.dst = conn_cfg.local4;
    if (c) {
        s.dst_port = c->tuple.local_port;
        s.dst = c->tuple.local;
    }
    s.flags = input_u8(in);
    if (which & 0x80)
        s.flags = SEG_ACK; // most segments are plain, or nothing lives long
    s.seq = near(in, c ? c->rcv_nxt : 0);
    s.ack = near(in, c ? which & 0x40 ? c->snd_nxt : c->snd_una : 0);
    s.window = which & 0x20 ? 60000 : input_u16(in);
    s.urgent = input_u16(in);
    s.ecn = input_u8(in) & 3;
    s.len = input_u16(in) % sizeof(payload);
    if (which & 0x10)
        s.len %= 8;
    s.data = (struct seg_data){{payload, NULL}, {s.len, 0}};
    if (input_u8(in) & 1)
        random_options(in, &s, s.ack);
    stack_inject(conn_stack, bytes, packet_emit(&s, &ip, bytes, CSUM_FULL));
}

static void step_icmp(struct input *in)
{
    struct tcp_tuple t = {.local = conn_cfg.local4, .local_port = PORT};
    const struct tcp_conn *c = target((uint16_t)(40001 + input_u8(in) % PEERS));
    uint8_t kind = input_u8(in);

    if (c)
        t = c->tuple;
    tcp_icmp(stack_engine(conn_stack), stack_now(conn_stack), &t, near(in, c ? c->snd_una : 0),
             (enum tcp_icmp)(kind % 3), -ECONNREFUSED, input_u16(in));
    stack_advance(conn_stack, stack_now(conn_stack));
}

static int some_fd(struct input *in)
{
    return STACK_FIRST_FD + input_u8(in) % FDS;
}

static void step_option(struct input *in)
{
    static const int names[][2] = {{SOL_SOCKET, SO_KEEPALIVE},
                                   {SOL_SOCKET, SO_RCVBUF},
                                   {SOL_SOCKET, SO_SNDBUF},
                                   {IPPROTO_TCP, 1},
                                   {IPPROTO_TCP, 3},
                                   {IPPROTO_TCP, 4},
                                   {IPPROTO_TCP, 5},
                                   {IPPROTO_TCP, 6},
                                   {IPPROTO_TCP, 12},
                                   {IPPROTO_TCP, 18},
                                   {SOL_SOCKET, 47},
                                   {IPPROTO_TCP, 8},
                                   {IPPROTO_TCP, 9}};
    uint8_t which = input_u8(in);
    int fd = some_fd(in), value = input_u16(in), got;
    socklen_t len = sizeof(got);
    static const char *const ccs[] = {"cubic", "reno", "bbr"};

    if (which == 255)
        stack_setsockopt(conn_stack, fd, IPPROTO_TCP, 13, ccs[value % 3], 8);
    else
        stack_setsockopt(conn_stack, fd, names[which % ARRAY_LEN(names)][0],
                         names[which % ARRAY_LEN(names)][1], &value, sizeof(value));
    stack_getsockopt(conn_stack, fd, names[which % ARRAY_LEN(names)][0],
                     names[which % ARRAY_LEN(names)][1], &got, &len);
    len = sizeof(got);
    stack_getsockopt(conn_stack, fd, IPPROTO_TCP, 11, &got, &len); // TCP_INFO
}

static void step_connect(struct input *in)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)(40001 + input_u8(in) % PEERS))};
    int fd = stack_socket(conn_stack, AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "192.0.2.1", &a.sin_addr);
    if (fd >= STACK_FIRST_FD + FDS)
        stack_close(conn_stack, fd);
    else if (fd >= 0)
        stack_sendto(conn_stack, fd, "x", 1, input_u8(in) & 1 ? MSG_FASTOPEN : 0,
                     (struct sockaddr *)&a, sizeof(a));
    if (fd >= 0)
        stack_connect(conn_stack, fd, (struct sockaddr *)&a, sizeof(a));
}

static void step_call(struct input *in)
{
    static uint8_t buf[CONN_RING_BYTES];
    static const int reset[2] = {1, 0};
    static const int send_flags[4] = {0, MSG_OOB, 0, MSG_MORE};
    int fd = some_fd(in);

    switch (input_u8(in) % 10) {
    case 0:
    case 1:
    case 2:
        stack_send(conn_stack, fd, buf, input_u16(in) % sizeof(buf), send_flags[input_u8(in) % 4]);
        break;
    case 3:
    case 4:
        stack_recv(conn_stack, fd, buf, input_u16(in) % sizeof(buf), input_u8(in) & MSG_OOB);
        break;
    case 5:
        stack_shutdown(conn_stack, fd, input_u8(in) % 3);
        break;
    case 6:
        stack_setsockopt(conn_stack, fd, SOL_SOCKET, SO_LINGER, reset, sizeof(reset));
        stack_close(conn_stack, fd);
        break;
    case 7:
        stack_close(conn_stack, fd);
        break;
    case 8:
        stack_accept(conn_stack, STACK_FIRST_FD, NULL, NULL);
        break;
    default:
        step_connect(in);
        break;
    }
}

static void step_time(struct input *in)
{
    uint64_t ns = (uint64_t)input_u8(in) << input_u8(in) % 40;

    stack_advance(conn_stack, stack_now(conn_stack) + ns);
}

void conn_step(struct input *in)
{
    switch (input_u8(in) % 8) {
    case 0:
    case 1:
    case 2:
    case 3:
        step_segment(in);
        break;
    case 4:
        step_time(in);
        break;
    case 5:
        step_option(in);
        break;
    case 6:
        step_call(in);
        break;
    default:
        step_icmp(in);
        break;
    }
}

void conn_start(uint8_t how, bool scribbled)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    static const int fastopen = 5;
    int fd;

    stack_config_init(&conn_cfg);
    conn_cfg.ring_bytes = CONN_RING_BYTES;
    conn_cfg.tcp.max_conns = 24;
    conn_cfg.tcp.max_spans = 128;
    conn_cfg.tcp.timestamps = how & 1;
    conn_cfg.tcp.sack = !(how & 2);
    conn_cfg.tcp.ecn = how & 4 ? TCP_ECN_ON : TCP_ECN_PASSIVE;
    conn_cfg.tcp.tfo_client = conn_cfg.tcp.tfo_server = how & 8;
    conn_cfg.tcp.mtu_probing = how & 16;
    conn_cfg.tcp.pacing = how & 32;
    conn_cfg.tcp.cc = (uint8_t)(how >> 6) % 3;
    conn_cfg.scribbled = scribbled;
    conn_stack = stack_new(&conn_cfg);
    must(conn_stack);
    fd = stack_socket(conn_stack, AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = conn_cfg.local4.w[3];
    stack_bind(conn_stack, fd, (struct sockaddr *)&a, sizeof(a));
    stack_setsockopt(conn_stack, fd, IPPROTO_TCP, 23, &fastopen, sizeof(fastopen));
    must(stack_listen(conn_stack, fd, 2) == 0);
}
