// SPDX-License-Identifier: BSD-2-Clause
#include "wire/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/options.h"

int ip_addr_parse(const char *text, struct ip_addr *out)
{
    uint32_t v4;

    if (inet_pton(AF_INET, text, &v4) == 1)
        *out = ip_addr_v4(v4);
    else if (inet_pton(AF_INET6, text, out->b) != 1)
        return -EINVAL;
    return 0;
}

const char *ip_addr_text(const struct ip_addr *a, char *out)
{
    bool v4 = ip_addr_is_v4(a);

    return inet_ntop(v4 ? AF_INET : AF_INET6, a->b + (v4 ? 12 : 0), out, IP_ADDR_TEXT_BYTES);
}

// A growing text that is cut, never overrun.
struct line {
    char *text;
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(l->text + l->len, SEGMENT_TEXT_BYTES - l->len, fmt, ap);
    va_end(ap);
    l->len = MIN(l->len + (size_t)n, (size_t)SEGMENT_TEXT_BYTES - 1);
}

static void add_hex(struct line *l, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        add(l, "%02x", p[i]);
}

static void add_cookie(struct line *l, const uint8_t *p, size_t len)
{
    add(l, len ? "tfo  cookie " : "tfo  cookiereq");
    add_hex(l, p, len);
}

static void add_sacks(struct line *l, const uint8_t *p, size_t len, uint32_t base)
{
    add(l, "sack %zu ", len / 8);
    for (size_t i = 0; i + 8 <= len; i += 8)
        add(l, "{%u:%u}", get_be32(p + i) - base, get_be32(p + i + 4) - base);
}

static void add_option(struct line *l, uint8_t kind, const uint8_t *p, size_t len, uint32_t base)
{
    switch (kind) {
    case OPTION_MSS:
        add(l, "mss %u", get_be16(p));
        break;
    case OPTION_WSCALE:
        add(l, "wscale %u", p[0]);
        break;
    case OPTION_SACK_OK:
        add(l, "sackOK");
        break;
    case OPTION_SACK:
        add_sacks(l, p, len, base);
        break;
    case OPTION_TS:
        add(l, "TS val %u ecr %u", get_be32(p), get_be32(p + 4));
        break;
    case OPTION_UTO:
        add(l, "uto 0x%x", get_be16(p));
        break;
    case OPTION_TFO:
        add_cookie(l, p, len);
        break;
    default: // OPTION_EXPERIMENT: nothing else is emitted
        add_cookie(l, p + 2, len - 2);
        break;
    }
}

static void add_options(struct line *l, const struct segment *s, uint32_t ack_base)
{
    uint8_t bytes[OPTIONS_MAX_BYTES];
    size_t len = options_emit(s, bytes), step;

    for (size_t i = 0; i < len; i += step) {
        add(l, i ? "," : ", options [");
        if (bytes[i] == OPTION_NOP) {
            add(l, "nop");
            step = 1;
        } else {
            add_option(l, bytes[i], bytes + i + 2, bytes[i + 1] - 2u, ack_base);
            step = bytes[i + 1];
        }
    }
    if (len)
        add(l, "]");
}

static void add_flags(struct line *l, uint8_t flags)
{
    static const char letters[8] = "FSRP.UEW"; // from bit 0 up

    for (unsigned i = 0; i < 8; i++)
        if (flags & 1u << i)
            add(l, "%c", letters[i]);
    if (!flags)
        add(l, "none");
}

const char *segment_text(const struct segment *s, uint32_t seq_base, uint32_t ack_base, char *out)
{
    struct line l = {out, 0};
    char src[IP_ADDR_TEXT_BYTES], dst[IP_ADDR_TEXT_BYTES];
    uint32_t seq = s->seq - seq_base;

    add(&l, "%s.%u > %s.%u: Flags [", ip_addr_text(&s->src, src), s->src_port,
        ip_addr_text(&s->dst, dst), s->dst_port);
    add_flags(&l, s->flags);
    add(&l, "]");
    if (s->len)
        add(&l, ", seq %u:%u", seq, seq + s->len);
    else if (s->flags & (SEG_SYN | SEG_FIN | SEG_RST))
        add(&l, ", seq %u", seq);
    if (s->flags & SEG_ACK)
        add(&l, ", ack %u", s->ack - ack_base);
    add(&l, ", win %u", s->window);
    if (s->flags & SEG_URG)
        add(&l, ", urg %u", s->urgent);
    add_options(&l, s, ack_base);
    add(&l, ", length %u", s->len);
    return out;
}
