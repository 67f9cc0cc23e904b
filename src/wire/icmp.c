// SPDX-License-Identifier: BSD-2-Clause
#include "wire/icmp.h"

#include <errno.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/csum.h"

#define ICMP_HEADER_BYTES 8
#define QUOTED_TCP_BYTES  8 // ports and sequence number: what RFC 792 promises

// One row a type and range of codes.
struct meaning {
    uint8_t type, first_code, last_code;
    enum icmp_error error;
};

static const struct meaning meanings4[] = {
    {3, 0, 1, ICMP_NET_UNREACHABLE},   {3, 2, 3, ICMP_PORT_UNREACHABLE},
    {3, 4, 4, ICMP_PACKET_TOO_BIG},    {3, 5, 8, ICMP_NET_UNREACHABLE},
    {3, 9, 10, ICMP_PROHIBITED},       {3, 11, 12, ICMP_NET_UNREACHABLE},
    {3, 13, 15, ICMP_PROHIBITED},      {11, 0, 1, ICMP_TIME_EXCEEDED},
    {12, 0, 2, ICMP_PARAMETER_PROBLEM}};

static const struct meaning meanings6[] = {
    {1, 0, 0, ICMP_NET_UNREACHABLE}, {1, 1, 1, ICMP_PROHIBITED},
    {1, 2, 3, ICMP_NET_UNREACHABLE}, {1, 4, 4, ICMP_PORT_UNREACHABLE},
    {1, 5, 6, ICMP_PROHIBITED},      {2, 0, 255, ICMP_PACKET_TOO_BIG},
    {3, 0, 1, ICMP_TIME_EXCEEDED},   {4, 0, 2, ICMP_PARAMETER_PROBLEM}};

static int meaning_of(bool is4, uint8_t type, uint8_t code)
{
    const struct meaning *m = is4 ? meanings4 : meanings6;
    const struct meaning *end = m + (is4 ? ARRAY_LEN(meanings4) : ARRAY_LEN(meanings6));

    for (; m < end; m++)
        if (m->type == type && m->first_code <= code && code <= m->last_code)
            return (int)m->error;
    return -ENOMSG;
}

static bool checksum_right(const struct ip_header *ip, bool is4, const void *data, size_t len)
{
    uint16_t pseudo = is4 ? 0 : ip_pseudo_sum(&ip->src, &ip->dst, IP_PROTO_ICMP6, (uint32_t)len);

    return csum_fold((uint64_t)pseudo + csum(data, len)) == UINT16_MAX;
}

static int parse_quoted(const uint8_t *p, size_t len, struct icmp *out)
{
    struct ip_header inner;
    int n = ip_parse_quoted(p, len, &inner);

    if (n < 0)
        return -EBADMSG;
    if (inner.proto != IP_PROTO_TCP || inner.fragment)
        return -ENOMSG;
    if (len - (size_t)n < QUOTED_TCP_BYTES)
        return -EBADMSG;
    p += n;
    out->src = inner.src;
    out->dst = inner.dst;
    out->src_port = get_be16(p);
    out->dst_port = get_be16(p + 2);
    out->seq = get_be32(p + 4);
    return 0;
}

int icmp_parse(const struct ip_header *ip, const void *data, size_t len, struct icmp *out)
{
    const uint8_t *p = data;
    bool is4 = ip_addr_is_v4(&ip->src);
    int error;

    if (len < ICMP_HEADER_BYTES || !checksum_right(ip, is4, data, len))
        return -EBADMSG;
    error = meaning_of(is4, p[0], p[1]);
    if (error < 0)
        return error;
    out->error = (enum icmp_error)error;
    out->type = p[0];
    out->code = p[1];
    out->next_mtu_bytes = 0;
    if (out->error == ICMP_PACKET_TOO_BIG)
        out->next_mtu_bytes = is4 ? get_be16(p + 6) : get_be32(p + 4);
    return parse_quoted(p + ICMP_HEADER_BYTES, len - ICMP_HEADER_BYTES, out);
}
