// SPDX-License-Identifier: BSD-2-Clause
#include "wire/packet.h"

#include <errno.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/csum.h"
#include "wire/options.h"

#define CSUM_OFFSET 16

static uint16_t pseudo_sum(const struct segment *s, size_t tcp_bytes)
{
    return ip_pseudo_sum(&s->src, &s->dst, IP_PROTO_TCP, (uint32_t)tcp_bytes);
}

// The checksum field of a right segment sums with everything else to all ones. A partial one is
// looked for first: it costs no look at the payload.
static bool checksum_right(const struct segment *s, const uint8_t *p, size_t len,
                           enum csum_mode mode)
{
    uint16_t pseudo, field;

    if (mode == CSUM_NONE)
        return true;
    pseudo = pseudo_sum(s, len);
    memcpy(&field, p + CSUM_OFFSET, 2);
    if (mode == CSUM_PARTIAL && field == pseudo)
        return true;
    return csum_fold((uint64_t)pseudo + csum(p, len)) == UINT16_MAX;
}

int segment_parse(const struct ip_header *ip, const void *data, size_t len, enum csum_mode mode,
                  struct segment *s)
{
    const uint8_t *p = data;
    size_t header;

    if (len < TCP_HEADER_BYTES)
        return -EBADMSG;
    header = (p[12] >> 4) * 4u;
    if (header < TCP_HEADER_BYTES || header > len)
        return -EBADMSG;
    s->src = ip->src;
    s->dst = ip->dst;
    s->src_port = get_be16(p);
    s->dst_port = get_be16(p + 2);
    if (!s->src_port || !s->dst_port || !checksum_right(s, p, len, mode))
        return -EBADMSG;
    s->seq = get_be32(p + 4);
    s->ack = get_be32(p + 8);
    s->flags = p[13];
    s->window = get_be16(p + 14);
    s->urgent = get_be16(p + 18);
    s->ecn = ip->tos & 3;
    s->dscp = ip->tos >> 2;
    s->gso_size = 0;
    s->len = (uint32_t)(len - header);
    s->data = (struct seg_data){{p + header, NULL}, {s->len, 0}};
    options_parse(p + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES, s);
    return 0;
}

int packet_parse(const void *packet, size_t len, enum csum_mode mode, struct segment *s)
{
    struct ip_header ip;
    int n = ip_parse(packet, len, &ip);

    if (n < 0)
        return n;
    if (ip.proto != IP_PROTO_TCP || ip.fragment)
        return -EPROTONOSUPPORT;
    return segment_parse(&ip, (const uint8_t *)packet + n, ip.payload_bytes, mode, s);
}

size_t segment_header_bytes(const struct segment *s)
{
    return TCP_HEADER_BYTES + options_bytes(s);
}

static uint16_t data_sum(const struct seg_data *d)
{
    uint16_t first = csum(d->piece[0], d->piece_len[0]);

    if (likely(!d->piece_len[1]))
        return first;
    return csum_join(first, d->piece_len[0], csum(d->piece[1], d->piece_len[1]));
}

// The header's sum, but for the options, out of its values: to read back what has just been written
// byte by byte would wait for it.
static uint16_t fixed_sum(const struct segment *s, size_t header_bytes)
{
    uint64_t words = (uint64_t)s->src_port + s->dst_port + s->seq + s->ack + s->window + s->urgent;

    return htobe16(csum_fold(words + ((uint32_t)header_bytes << 10 | s->flags)));
}

static uint16_t checksum(const struct segment *s, const uint8_t *options, size_t header_bytes,
                         enum csum_mode mode)
{
    uint64_t sum;
    uint16_t pseudo;

    if (mode == CSUM_NONE)
        return 0;
    pseudo = pseudo_sum(s, header_bytes + s->len);
    if (mode == CSUM_PARTIAL)
        return pseudo;
    sum = csum_words(options, (header_bytes - TCP_HEADER_BYTES) / 4);
    sum += (uint64_t)pseudo + fixed_sum(s, header_bytes);
    return (uint16_t)~csum_fold(sum + (s->len ? data_sum(&s->data) : 0));
}

size_t segment_emit_header(const struct segment *s, void *out, enum csum_mode mode)
{
    uint8_t *p = out;
    size_t header = TCP_HEADER_BYTES + options_emit(s, p + TCP_HEADER_BYTES);
    uint16_t check;

    put_be16(p, s->src_port);
    put_be16(p + 2, s->dst_port);
    put_be32(p + 4, s->seq);
    put_be32(p + 8, s->ack);
    p[12] = (uint8_t)(header / 4 << 4);
    p[13] = s->flags;
    put_be16(p + 14, s->window);
    put_be16(p + 18, s->urgent);
    check = checksum(s, p + TCP_HEADER_BYTES, header, mode);
    memcpy(p + CSUM_OFFSET, &check, 2);
    return header;
}

size_t packet_emit_header(const struct segment *s, const struct packet_ip *ip, void *out,
                          enum csum_mode mode)
{
    size_t n = ip_header_bytes(&s->src), tcp = segment_emit_header(s, (uint8_t *)out + n, mode);

    ip_emit(out, &(struct ip_header){
                     .src = s->src,
                     .dst = s->dst,
                     .proto = IP_PROTO_TCP,
                     .tos = (uint8_t)(s->dscp << 2 | s->ecn),
                     .ttl = ip->ttl,
                     .dont_fragment = ip->dont_fragment,
                     .id = ip->id,
                     .flow_label = ip->flow_label,
                     .payload_bytes = (uint32_t)tcp + s->len,
                 });
    return n + tcp;
}

size_t packet_emit(const struct segment *s, const struct packet_ip *ip, void *out,
                   enum csum_mode mode)
{
    size_t n = packet_emit_header(s, ip, out, mode);

    for (int i = 0; i < 2; i++) {
        if (s->data.piece_len[i])
            memcpy((uint8_t *)out + n, s->data.piece[i], s->data.piece_len[i]);
        n += s->data.piece_len[i];
    }
    return n;
}
