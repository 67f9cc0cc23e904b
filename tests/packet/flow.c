// SPDX-License-Identifier: BSD-2-Clause
#include "flow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/csum.h"
#include "wire/options.h"
#include "wire/packet.h"

int live_parse(struct live_packet *lp)
{
    struct ip_header ip;
    int n = ip_parse(lp->bytes, lp->len, &ip), err;
    const uint8_t *tcp = lp->bytes + n;

    if (n < 0)
        return n;
    err = packet_parse(lp->bytes, lp->len, CSUM_FULL, &lp->seg);
    if (err)
        return err;
    lp->options_len = (tcp[12] >> 4) * 4u - TCP_HEADER_BYTES;
    memcpy(lp->options, tcp + TCP_HEADER_BYTES, lp->options_len);
    return 0;
}

uint8_t flow_byte(bool inbound, uint32_t relative)
{
    uint32_t x = relative * 2654435761u;

    return (uint8_t)((x >> 24) ^ (inbound ? 0x5a : 0));
}

uint32_t flow_wrong_byte(const struct flow *f, const struct live_packet *lp)
{
    uint32_t first = lp->seg.seq - f->local_isn + !!(lp->seg.flags & SEG_SYN);
    const uint8_t *p = lp->seg.data.piece[0];

    for (uint32_t i = 0; i < lp->seg.len; i++)
        if (p[i] != flow_byte(false, first + i))
            return first + i;
    return 0;
}

// Options, one by one ---------------------------------------------------------------------------

// Calls fn for each option but NOP and END; value points behind kind and length.
typedef void option_fn(void *self, uint8_t kind, uint8_t *value, size_t len);

static void each_option(uint8_t *options, size_t len, option_fn *fn, void *self)
{
    for (size_t i = 0; i < len;) {
        if (options[i] <= OPTION_NOP) {
            i++;
        } else {
            if (i + 1 >= len || options[i + 1] < 2 || i + options[i + 1] > len)
                return; // the script may send malformed ones
            fn(self, options[i], options + i + 2, options[i + 1] - 2u);
            i += options[i + 1];
        }
    }
}

static void shift_be32(uint8_t *p, uint32_t by)
{
    put_be32(p, get_be32(p) + by);
}

struct shift {
    const struct flow *flow;
    bool has_ack;
};

// From the script's numbers to the wire's, for what arrives.
static void to_wire(void *self, uint8_t kind, uint8_t *value, size_t len)
{
    const struct shift *s = self;

    if (kind == OPTION_TS && len == 8 && s->has_ack && s->flow->ts_known)
        shift_be32(value + 4, s->flow->ts_origin);
    if (kind == OPTION_SACK)
        for (size_t i = 0; i + 4 <= len; i += 4)
            shift_be32(value + i, s->flow->local_isn);
}

// From the wire's numbers to the script's, for what left.
static void to_script(void *self, uint8_t kind, uint8_t *value, size_t len)
{
    const struct shift *s = self;

    if (kind == OPTION_TS && s->flow->ts_known)
        shift_be32(value, -s->flow->ts_origin);
    if (kind == OPTION_SACK)
        for (size_t i = 0; i + 4 <= len; i += 4)
            shift_be32(value + i, -s->flow->remote_isn);
}

static void find_ts(void *self, uint8_t kind, uint8_t *value, size_t len)
{
    if (kind == OPTION_TS && len == 8)
        *(const uint8_t **)self = value;
}

void flow_learn_ts(struct flow *f, const struct live_packet *lp, const struct script_packet *want)
{
    const uint8_t *live = NULL, *script = NULL;
    uint8_t a[SCRIPT_OPTIONS_MAX], b[SCRIPT_OPTIONS_MAX];

    memcpy(a, lp->options, sizeof(a));
    memcpy(b, want->options, sizeof(b));
    each_option(a, lp->options_len, find_ts, &live);
    each_option(b, want->options_len, find_ts, &script);
    if (!live || !script || f->ts_known)
        return;
    f->ts_origin = get_be32(live) - get_be32(script);
    f->ts_known = true;
}

// Arriving packets --------------------------------------------------------------------------------

static void finish_checksum(uint8_t *tcp, size_t len, size_t at, const struct ip_header *ip)
{
    bool pseudo = ip->proto != IP_PROTO_ICMP;
    uint16_t sum = pseudo ? ip_pseudo_sum(&ip->src, &ip->dst, ip->proto, (uint32_t)len) : 0;

    memset(tcp + at, 0, 2);
    sum = (uint16_t)~csum_fold((uint64_t)sum + csum(tcp, len));
    memcpy(tcp + at, &sum, 2);
}

// A piece of a segment of ours, as a router would quote it.
static size_t build_quoted(const struct flow *f, const struct script_packet *p, uint8_t *out)
{
    struct ip_header ip = {.src = f->local,
                           .dst = f->remote,
                           .proto = IP_PROTO_TCP,
                           .ttl = 60,
                           .dont_fragment = true,
                           .payload_bytes = TCP_HEADER_BYTES + p->len};
    size_t n = ip_emit(out, &ip);

    put_be16(out + n, f->local_port);
    put_be16(out + n + 2, f->remote_port);
    put_be32(out + n + 4, p->seq + f->local_isn);
    return n + 8;
}

static size_t build_icmp(const struct flow *f, const struct script_packet *p, uint8_t *out)
{
    bool v4 = ip_addr_is_v4(&f->remote);
    struct ip_header ip = {.src = f->remote,
                           .dst = f->local,
                           .proto = v4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6,
                           .ttl = 255,
                           .dont_fragment = true};
    uint8_t body[128] = {0};
    size_t len = 8 + build_quoted(f, p, body + 8), n;

    memcpy(body, v4 ? p->icmp4 : p->icmp6, 2);
    put_be32(body + 4, p->mtu);
    ip.payload_bytes = (uint32_t)len;
    finish_checksum(body, len, 2, &ip);
    n = ip_emit(out, &ip);
    memcpy(out + n, body, len);
    return n + len;
}

static void put_header(const struct flow *f, const struct script_packet *p, uint8_t *tcp)
{
    struct shift shift = {f, p->has_ack};
    struct segment s = {
        .src_port = p->has_ports ? p->src_port : f->remote_port,
        .dst_port = p->has_ports ? p->dst_port : f->local_port,
        .seq = p->seq + f->remote_isn,
        .ack = p->has_ack ? p->ack + f->local_isn : 0,
        .flags = p->flags,
        .window = p->window,
        .urgent = p->urgent,
    };

    segment_emit_header(&s, tcp, CSUM_NONE);
    memcpy(tcp + TCP_HEADER_BYTES, p->options, p->options_len);
    each_option(tcp + TCP_HEADER_BYTES, p->options_len, to_wire, &shift);
    tcp[12] = (uint8_t)((TCP_HEADER_BYTES + p->options_len) / 4 << 4);
}

size_t flow_build(const struct flow *f, const struct script_packet *p, uint8_t *out)
{
    size_t header = TCP_HEADER_BYTES + p->options_len, n;
    uint32_t first = p->seq + !!(p->flags & SEG_SYN);
    struct ip_header ip = {.src = f->remote,
                           .dst = f->local,
                           .proto = IP_PROTO_TCP,
                           .tos = p->has_tos          ? p->tos
                                  : p->ecn == ECN_ANY ? 0
                                                      : p->ecn,
                           .ttl = 64,
                           .dont_fragment = true,
                           .payload_bytes = (uint32_t)header + p->len};

    if (p->icmp)
        return build_icmp(f, p, out);
    n = ip_emit(out, &ip);
    put_header(f, p, out + n);
    for (uint32_t i = 0; i < p->len; i++)
        out[n + header + i] = flow_byte(true, first + i);
    finish_checksum(out + n, header + p->len, 16, &ip);
    return n + header + p->len;
}

// Text --------------------------------------------------------------------------------------------

struct line {
    char *text;
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(l->text + l->len, FLOW_TEXT_BYTES - l->len, fmt, ap);
    va_end(ap);
    l->len = MIN(l->len + (size_t)n, (size_t)FLOW_TEXT_BYTES - 1);
}

static void add_option(struct line *l, uint8_t kind, const uint8_t *v, size_t len)
{
    if (kind == OPTION_MSS)
        add(l, "mss %u", get_be16(v));
    else if (kind == OPTION_WSCALE)
        add(l, "wscale %u", v[0]);
    else if (kind == OPTION_SACK_OK)
        add(l, "sackOK");
    else if (kind == OPTION_TS)
        add(l, "TS val %u ecr %u", get_be32(v), get_be32(v + 4));
    else if (kind == OPTION_TFO || kind == OPTION_EXPERIMENT)
        add(l, kind == OPTION_TFO ? "FO " : "FOEXP ");
    else
        add(l, kind == OPTION_SACK ? "sack" : "option %u ", kind);
    if (kind == OPTION_SACK)
        for (size_t i = 0; i + 8 <= len; i += 8)
            add(l, " %u:%u", get_be32(v + i), get_be32(v + i + 4));
    if (kind >= OPTION_UTO)
        for (size_t i = kind == OPTION_EXPERIMENT ? 2 : 0; i < len; i++)
            add(l, "%02x", v[i]);
}

static void add_options(struct line *l, const uint8_t *o, size_t len)
{
    size_t step;

    for (size_t i = 0; i < len; i += step) {
        add(l, i ? "," : " <");
        step = o[i] <= OPTION_NOP ? 1 : MAX(o[i + 1], (uint8_t)2);
        if (step == 1)
            add(l, o[i] ? "nop" : "eol");
        else
            add_option(l, o[i], o + i + 2, step - 2);
    }
    if (len)
        add(l, ">");
}

static void add_flags(struct line *l, uint8_t flags)
{
    static const char letters[] = "FSRP.UEW";

    add(l, flags ? " " : " -");
    for (int i = 0; i < 8; i++)
        if (flags & 1 << i)
            add(l, "%c", letters[i]);
}

static void add_ecn(struct line *l, uint8_t ecn)
{
    static const char *const words[] = {"noecn", "ect1", "ect0", "ce"};

    add(l, " [%s]", words[ecn & 3]);
}

// What both kinds of text have in common.
struct fields {
    uint8_t flags;
    uint32_t seq, len, ack;
    uint16_t window, urgent;
    bool window_counts;
};

static void add_fields(struct line *l, const struct fields *f)
{
    add_flags(l, f->flags);
    add(l, " %u:%u(%u)", f->seq, f->seq + f->len, f->len);
    if (f->flags & SEG_ACK)
        add(l, " ack %u", f->ack);
    if (f->window_counts)
        add(l, " win %u", f->window);
    if (f->flags & SEG_URG)
        add(l, " urg %u", f->urgent);
}

void flow_text_script(const struct script_packet *p, char *out)
{
    struct line l = {out, 0};
    struct fields f = {p->flags, p->seq, p->len, p->ack, p->window, p->urgent, p->has_window};

    add(&l, p->inbound ? "<" : ">");
    if (p->ecn != ECN_ANY)
        add_ecn(&l, p->ecn);
    if (p->has_tos)
        add(&l, " (tos 0x%x)", p->tos);
    if (p->has_ports)
        add(&l, " %u > %u", p->src_port, p->dst_port);
    add_fields(&l, &f);
    if (p->any_options)
        add(&l, " <...>");
    else
        add_options(&l, p->options, p->options_len);
}

void flow_text_live(const struct flow *f, const struct live_packet *lp,
                    const struct script_packet *want, char *out)
{
    const struct segment *s = &lp->seg;
    struct line l = {out, 0};
    struct shift shift = {f, true};
    struct fields fields = {
        s->flags,  s->seq - f->local_isn,    s->len, s->ack - f->remote_isn, s->window,
        s->urgent, !want || want->has_window};
    uint8_t o[SCRIPT_OPTIONS_MAX];

    memcpy(o, lp->options, lp->options_len);
    each_option(o, lp->options_len, to_script, &shift);
    add(&l, ">");
    if (!want || want->ecn != ECN_ANY)
        add_ecn(&l, s->ecn);
    if (want && want->has_tos)
        add(&l, " (tos 0x%x)", s->dscp << 2 | s->ecn);
    if (!want || want->has_ports)
        add(&l, " %u > %u", s->src_port, s->dst_port);
    add_fields(&l, &fields);
    if (want && want->any_options)
        add(&l, " <...>");
    else
        add_options(&l, o, lp->options_len);
}
