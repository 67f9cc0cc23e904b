// SPDX-License-Identifier: BSD-2-Clause
// Frames for the rig, written here a second time on purpose: src/wire is another room.
#include "rig.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/util.h"

struct pseudo {
    uint8_t addresses[32];
    uint32_t addresses_bytes, tcp_bytes;
};

uint8_t payload_byte(uint32_t seed, uint32_t i)
{
    return (uint8_t)((seed + i) * 2654435761u >> 21);
}

static uint64_t sum(uint64_t start, const uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        start += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return start;
}

static uint16_t fold(uint64_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

static uint64_t pseudo_sum(const struct pseudo *p)
{
    return sum(0, p->addresses, p->addresses_bytes) + p->tcp_bytes + IPPROTO_TCP;
}

static enum side other(enum side side)
{
    return side == HERE ? THERE : HERE;
}

static uint32_t build_ip4(uint8_t *at, const struct segment *s, struct pseudo *p)
{
    struct ip ip = {
        .ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_TCP, .ip_off = htons(IP_DF)};

    ip.ip_len = htons((uint16_t)(sizeof(ip) + p->tcp_bytes));
    inet_pton(AF_INET, address_of[s->from], &ip.ip_src);
    inet_pton(AF_INET, address_of[other(s->from)], &ip.ip_dst);
    memcpy(p->addresses, &ip.ip_src, 8);
    p->addresses_bytes = 8;
    memcpy(at, &ip, sizeof(ip));
    ip.ip_sum = htons((uint16_t)~fold(sum(0, at, sizeof(ip))));
    memcpy(at, &ip, sizeof(ip));
    return sizeof(ip);
}

static uint32_t build_ip6(uint8_t *at, const struct segment *s, struct pseudo *p)
{
    struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28)};

    ip.ip6_plen = htons((uint16_t)p->tcp_bytes);
    ip.ip6_nxt = IPPROTO_TCP;
    ip.ip6_hlim = 64;
    inet_pton(AF_INET6, address6_of[s->from], &ip.ip6_src);
    inet_pton(AF_INET6, address6_of[other(s->from)], &ip.ip6_dst);
    memcpy(p->addresses, &ip.ip6_src, 32);
    p->addresses_bytes = 32;
    memcpy(at, &ip, sizeof(ip));
    return sizeof(ip);
}

static uint16_t checksum(const struct built *b, const struct segment *s, const struct pseudo *p,
                         uint32_t tcp_at)
{
    uint64_t pseudo = pseudo_sum(p);

    if (s->csum == CSUM_OPEN || s->gso_size)
        return fold(pseudo);
    // the head has an even length, so the two sums may be joined
    pseudo = sum(sum(pseudo, b->head + tcp_at, sizeof(struct tcphdr)), b->payload, s->bytes);
    return (uint16_t)(~fold(pseudo) + (s->csum == CSUM_WRONG));
}

static void build_out(struct built *b, const struct segment *s, uint32_t tcp_at)
{
    bool open = s->csum == CSUM_OPEN || s->gso_size;
    uint32_t half = s->bytes / 2;

    b->iov[0] = (struct iovec){b->payload, half};
    b->iov[1] = (struct iovec){b->payload + half, s->bytes - half};
    b->out = (struct queue_out){
        .head = b->head,
        .head_bytes = (uint16_t)(tcp_at + sizeof(struct tcphdr)),
        .payload = b->iov,
        .payload_count = s->bytes ? 2 : 0,
        .csum_start = open ? (uint16_t)tcp_at : 0,
        .csum_offset = open ? offsetof(struct tcphdr, th_sum) : 0,
        .gso_size = s->gso_size,
        .gso = !s->gso_size ? QUEUE_GSO_NONE
               : s->v6      ? QUEUE_GSO_TCP6
                            : QUEUE_GSO_TCP4,
    };
    b->bytes = b->out.head_bytes + s->bytes;
}

void frame_build(struct built *b, const struct rig *rig, const struct segment *s)
{
    struct pseudo pseudo = {.tcp_bytes = (uint32_t)sizeof(struct tcphdr) + s->bytes};
    struct ether_header ether = {.ether_type = htons(s->v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP)};
    struct tcphdr tcp = {.th_off = 5, .th_flags = s->tcp_flags, .th_win = htons(65535)};
    uint32_t tcp_at = sizeof(ether);

    memcpy(ether.ether_shost, rig->mac[s->from], 6);
    memcpy(ether.ether_dhost, rig->mac[other(s->from)], 6);
    memcpy(b->head, &ether, sizeof(ether));
    tcp_at +=
        s->v6 ? build_ip6(b->head + tcp_at, s, &pseudo) : build_ip4(b->head + tcp_at, s, &pseudo);
    tcp.th_sport = htons(s->source);
    tcp.th_dport = htons(s->dest);
    tcp.th_seq = htonl(s->seq);
    tcp.th_ack = htonl(s->ack);
    memcpy(b->head + tcp_at, &tcp, sizeof(tcp));
    for (uint32_t i = 0; i < s->bytes; i++)
        b->payload[i] = payload_byte(s->seed, i);
    tcp.th_sum = htons(checksum(b, s, &pseudo, tcp_at));
    memcpy(b->head + tcp_at, &tcp, sizeof(tcp));
    build_out(b, s, tcp_at);
}

// The TCP segment at seen->bytes + at, n bytes long, within a frame with those flags.
static bool csum_holds(const struct seen *seen, uint32_t at, uint32_t n, const struct pseudo *p,
                       uint8_t flags)
{
    struct tcphdr tcp;
    uint16_t pseudo = fold(pseudo_sum(p));

    memcpy(&tcp, seen->bytes + at, sizeof(tcp));
    if (flags & QUEUE_CSUM_UNFINISHED)
        return ntohs(tcp.th_sum) == pseudo;
    if (flags & QUEUE_CSUM_EITHER && ntohs(tcp.th_sum) == pseudo)
        return true;
    return fold(sum(pseudo, seen->bytes + at, n)) == 0xffff;
}

void frame_read(struct rig *rig, enum side side, const struct queue_frame *frame, struct seen *seen)
{
    bool v6;
    uint32_t at = sizeof(struct ether_header), ip_bytes, data_at;
    struct pseudo pseudo;
    struct tcphdr tcp;

    assert_true(frame->len_bytes >= 60 || frame->len_bytes >= FRAME_HEAD);
    assert_true(frame->len_bytes <= rig->queue[side]->caps->super_rx_bytes);
    assert_int_equal(queue_frame_copy(rig->queue[side], frame, 0, seen->bytes, sizeof(seen->bytes)),
                     frame->len_bytes);
    v6 = seen->bytes[12] == 0x86;
    ip_bytes = v6 ? 40u + (uint32_t)(seen->bytes[18] << 8 | seen->bytes[19])
                  : (uint32_t)(seen->bytes[16] << 8 | seen->bytes[17]);
    assert_true(at + ip_bytes <= frame->len_bytes);
    pseudo.addresses_bytes = v6 ? 32 : 8;
    memcpy(pseudo.addresses, seen->bytes + at + (v6 ? 8 : 12), pseudo.addresses_bytes);
    at += v6 ? 40 : 20;
    pseudo.tcp_bytes = ip_bytes - (v6 ? 40 : 20);
    memcpy(&tcp, seen->bytes + at, sizeof(tcp));
    data_at = at + tcp.th_off * 4u;
    seen->csum_good = csum_holds(seen, at, pseudo.tcp_bytes, &pseudo, frame->flags);
    seen->segment = (struct segment){
        .from = other(side),
        .source = ntohs(tcp.th_sport),
        .dest = ntohs(tcp.th_dport),
        .seq = ntohl(tcp.th_seq),
        .ack = ntohl(tcp.th_ack),
        .tcp_flags = tcp.th_flags,
        .v6 = v6,
        .bytes = pseudo.tcp_bytes - tcp.th_off * 4u,
        .gso_size = frame->gso_size,
    };
    memmove(seen->bytes, seen->bytes + data_at, seen->segment.bytes);
}

void frame_expect(struct rig *rig, enum side side, const struct queue_frame *frame,
                  const struct segment *s)
{
    static struct seen seen;

    frame_read(rig, side, frame, &seen);
    assert_int_equal(seen.segment.source, s->source);
    assert_int_equal(seen.segment.dest, s->dest);
    assert_int_equal(seen.segment.seq, s->seq);
    assert_int_equal(seen.segment.ack, s->ack);
    assert_int_equal(seen.segment.tcp_flags, s->tcp_flags);
    assert_int_equal(seen.segment.v6, s->v6);
    assert_int_equal(seen.segment.bytes, s->bytes);
    for (uint32_t i = 0; i < s->bytes; i++)
        if (seen.bytes[i] != payload_byte(s->seed, i))
            fail_msg("byte %u of %u differs", i, s->bytes);
    if (s->csum != CSUM_WRONG)
        assert_true(seen.csum_good);
}
