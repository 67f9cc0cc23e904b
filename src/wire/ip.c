// SPDX-License-Identifier: BSD-2-Clause
#include "wire/ip.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/csum.h"

#define FLAG_DF     0x4000
#define FLAG_MF     0x2000
#define OFFSET_MASK 0x1fff

enum ip6_next {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_DESTINATION = 60,
};

static struct ip_addr mapped(const uint8_t *four)
{
    uint32_t v4;

    memcpy(&v4, four, sizeof(v4));
    return ip_addr_v4(v4);
}

static int parse4(const uint8_t *p, size_t len, struct ip_header *out, bool whole)
{
    size_t header, total;
    uint16_t frag;

    if (len < IP4_HEADER_BYTES)
        return -EBADMSG;
    header = (p[0] & 0xf) * 4u;
    total = get_be16(p + 2);
    if (header < IP4_HEADER_BYTES || header > len || total < header)
        return -EBADMSG;
    if (whole && (total > len || csum_fold(csum_words(p, header / 4)) != UINT16_MAX))
        return -EBADMSG;
    frag = get_be16(p + 6);
    *out = (struct ip_header){
        .src = mapped(p + 12),
        .dst = mapped(p + 16),
        .proto = p[9],
        .tos = p[1],
        .ttl = p[8],
        .dont_fragment = frag & FLAG_DF,
        .fragment = frag & (FLAG_MF | OFFSET_MASK),
        .id = get_be16(p + 4),
        .payload_bytes = (uint32_t)(total - header),
    };
    return (int)header;
}

// The length of the extension header of kind `next` at p, of which len bytes are there; 0 when it
// is not an extension header that we know, -EBADMSG when it is cut, -EPROTONOSUPPORT when it is not
// for us.
static int extension_bytes(uint8_t next, const uint8_t *p, size_t len)
{
    int bytes;

    if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_FRAGMENT &&
        next != NEXT_DESTINATION)
        return 0;
    if (len < 8)
        return -EBADMSG;
    if (next == NEXT_FRAGMENT)
        return 8;
    if (next == NEXT_ROUTING && p[3] != 0)
        return -EPROTONOSUPPORT; // segments left: we are not its destination
    bytes = (p[1] + 1) * 8;
    return (size_t)bytes <= len ? bytes : -EBADMSG;
}

// Walks the extension headers; `at` begins behind the fixed header and ends at the payload.
static int skip_extensions(const uint8_t *p, size_t len, struct ip_header *out)
{
    size_t at = IP6_HEADER_BYTES;
    int n;

    while ((n = extension_bytes(out->proto, p + at, len - at)) > 0) {
        if (out->proto == NEXT_FRAGMENT && (get_be16(p + at + 2) & 0xfff9))
            out->fragment = true;
        out->proto = p[at];
        at += (size_t)n;
        if (out->fragment)
            break; // what follows may begin anywhere
    }
    return n < 0 ? n : (int)at;
}

static int parse6(const uint8_t *p, size_t len, struct ip_header *out, bool whole)
{
    uint32_t first, payload;
    size_t end;
    int n;

    if (len < IP6_HEADER_BYTES)
        return -EBADMSG;
    first = get_be32(p);
    payload = get_be16(p + 4);
    if (whole && IP6_HEADER_BYTES + payload > len)
        return -EBADMSG;
    *out = (struct ip_header){
        .proto = p[6],
        .tos = (uint8_t)(first >> 20),
        .ttl = p[7],
        .dont_fragment = true,
        .flow_label = first & 0xfffff,
    };
    memcpy(out->src.b, p + 8, 16);
    memcpy(out->dst.b, p + 24, 16);
    if (ip_addr_is_v4(&out->src) || ip_addr_is_v4(&out->dst))
        return -EBADMSG; // mapped addresses never travel: it would pass for an IPv4 packet
    end = MIN(len, (size_t)IP6_HEADER_BYTES + payload);
    n = skip_extensions(p, end, out);
    if (n < 0)
        return n;
    out->payload_bytes = (uint32_t)(IP6_HEADER_BYTES + payload - (size_t)n);
    return n;
}

static int parse(const void *packet, size_t len, struct ip_header *out, bool whole)
{
    const uint8_t *p = packet;

    if (!len)
        return -EBADMSG;
    if (p[0] >> 4 == 4)
        return parse4(p, len, out, whole);
    return p[0] >> 4 == 6 ? parse6(p, len, out, whole) : -EBADMSG;
}

int ip_parse(const void *packet, size_t len, struct ip_header *out)
{
    return parse(packet, len, out, true);
}

int ip_parse_quoted(const void *packet, size_t len, struct ip_header *out)
{
    return parse(packet, len, out, false);
}

static size_t emit4(uint8_t *p, const struct ip_header *h)
{
    uint16_t bytes = (uint16_t)(IP4_HEADER_BYTES + h->payload_bytes), check;
    uint16_t flags = h->dont_fragment ? FLAG_DF : 0;
    uint32_t words =
        (0x4500u | h->tos) + bytes + h->id + flags + ((uint32_t)h->ttl << 8 | h->proto);

    p[0] = 0x45;
    p[1] = h->tos;
    put_be16(p + 2, bytes);
    put_be16(p + 4, h->id);
    put_be16(p + 6, flags);
    p[8] = h->ttl;
    p[9] = h->proto;
    check = (uint16_t)~csum_fold((uint64_t)htobe16(csum_fold(words)) + h->src.w[3] + h->dst.w[3]);
    memcpy(p + 10, &check, 2);
    memcpy(p + 12, h->src.b + 12, 4);
    memcpy(p + 16, h->dst.b + 12, 4);
    return IP4_HEADER_BYTES;
}

static size_t emit6(uint8_t *p, const struct ip_header *h)
{
    put_be32(p, 6u << 28 | (uint32_t)h->tos << 20 | (h->flow_label & 0xfffff));
    put_be16(p + 4, (uint16_t)h->payload_bytes);
    p[6] = h->proto;
    p[7] = h->ttl;
    memcpy(p + 8, h->src.b, 16);
    memcpy(p + 24, h->dst.b, 16);
    return IP6_HEADER_BYTES;
}

size_t ip_emit(void *out, const struct ip_header *h)
{
    return ip_addr_is_v4(&h->src) ? emit4(out, h) : emit6(out, h);
}

uint16_t ip_pseudo_sum(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                       uint32_t payload_bytes)
{
    // 32-bit words sum to the same as their halves. IPv4's 16-bit length and IPv6's 32-bit length
    // with three zero bytes do, too; the mapped prefix of IPv4 is left out.
    uint64_t sum = (uint64_t)htonl(payload_bytes) + htonl(proto) + src->w[3] + dst->w[3];

    if (!ip_addr_is_v4(src))
        for (int i = 0; i < 3; i++)
            sum += (uint64_t)src->w[i] + dst->w[i];
    return csum_fold(sum);
}
