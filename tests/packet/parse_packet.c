// SPDX-License-Identifier: BSD-2-Clause
#include "parse_packet.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/options.h"

static void parse_ip_info(struct lex *l, struct script_packet *p)
{
    static const char *const words[] = {"noecn", "ect1", "ect0", "ce"}; // by enum ip_ecn
    const char *close = lex_take(l, "[") ? "]" : NULL;

    p->ecn = ECN_ANY;
    if (!close && lex_take(l, "("))
        close = ")";
    if (!close)
        return;
    for (uint8_t i = 0; i < 4; i++)
        if (lex_take(l, words[i]))
            p->ecn = i;
    if (lex_take(l, "tos")) {
        p->has_tos = true;
        p->tos = (uint8_t)lex_u16(l);
    }
    lex_expect(l, close);
}

static void parse_flags(struct lex *l, struct script_packet *p)
{
    static const char letters[] = "FSRP.UEW";
    const char *at;

    lex_space(l);
    if (lex_take(l, "-"))
        return;
    for (; *l->p && (at = strchr(letters, *l->p)); l->p++)
        p->flags |= (uint8_t)(1u << (at - letters));
    if (!p->flags || !isspace((unsigned char)*l->p))
        lex_fail(l, "flags expected before '%.20s'", l->p);
}

// "1:1001(1000)"
static void parse_seq(struct lex *l, struct script_packet *p)
{
    uint32_t end;

    p->seq = lex_u32(l);
    lex_expect(l, ":");
    end = lex_u32(l);
    lex_expect(l, "(");
    p->len = lex_u32(l);
    lex_expect(l, ")");
    if (end - p->seq != p->len)
        lex_fail(l, "%u:%u is not %u bytes long", p->seq, end, p->len);
}

// A growing list of options.
struct bytes {
    uint8_t *p;
    size_t len;
};

static void put(struct lex *l, struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > SCRIPT_OPTIONS_MAX)
        lex_fail(l, "the options take more than 40 bytes");
    memcpy(b->p + b->len, data, len);
    b->len += len;
}

static void put_u8(struct lex *l, struct bytes *b, unsigned v)
{
    put(l, b, &(uint8_t){(uint8_t)v}, 1);
}

static void put_u32(struct lex *l, struct bytes *b, uint32_t v)
{
    uint8_t be[4];

    put_be32(be, v);
    put(l, b, be, 4);
}

static void put_u16(struct lex *l, struct bytes *b, uint16_t v)
{
    uint8_t be[2];

    put_be16(be, v);
    put(l, b, be, 2);
}

static void parse_sack(struct lex *l, struct bytes *b)
{
    size_t start = b->len;

    put_u8(l, b, OPTION_SACK);
    put_u8(l, b, 0);
    do {
        put_u32(l, b, lex_u32(l));
        lex_expect(l, ":");
        put_u32(l, b, lex_u32(l));
        lex_space(l);
    } while (isdigit((unsigned char)*l->p));
    b->p[start + 1] = (uint8_t)(b->len - start);
}

static void parse_ts(struct lex *l, struct bytes *b)
{
    put_u8(l, b, OPTION_TS);
    put_u8(l, b, 10);
    lex_expect(l, "val");
    put_u32(l, b, lex_u32(l));
    lex_expect(l, "ecr");
    put_u32(l, b, lex_u32(l));
}

// The hex digits of a cookie, or nothing where the next option or the end comes.
static void put_cookie(struct lex *l, struct bytes *b)
{
    char text[2 * SCRIPT_OPTIONS_MAX + 1];
    unsigned byte;

    lex_space(l);
    if (!isxdigit((unsigned char)*l->p))
        return;
    lex_word(l, text, sizeof(text));
    for (const char *p = text; sscanf(p, "%2x", &byte) == 1; p += 2)
        put_u8(l, b, byte);
}

static void parse_cookie(struct lex *l, struct bytes *b, bool experimental)
{
    size_t start = b->len;

    put_u8(l, b, experimental ? OPTION_EXPERIMENT : OPTION_TFO);
    put_u8(l, b, 0);
    if (experimental)
        put_u16(l, b, OPTION_TFO_MAGIC);
    put_cookie(l, b);
    b->p[start + 1] = (uint8_t)(b->len - start);
}

static void parse_mss(struct lex *l, struct bytes *b)
{
    put_u8(l, b, OPTION_MSS);
    put_u8(l, b, 4);
    put_u16(l, b, lex_u16(l));
}

static void parse_option(struct lex *l, struct bytes *b)
{
    if (lex_take(l, "nop")) {
        put_u8(l, b, OPTION_NOP);
    } else if (lex_take(l, "eol")) {
        put_u8(l, b, OPTION_END);
    } else if (lex_take(l, "mss")) {
        parse_mss(l, b);
    } else if (lex_take(l, "wscale")) {
        put_u8(l, b, OPTION_WSCALE);
        put_u8(l, b, 3);
        put_u8(l, b, lex_u16(l));
    } else if (lex_take(l, "sackOK")) {
        put_u8(l, b, OPTION_SACK_OK);
        put_u8(l, b, 2);
    } else if (lex_take(l, "sack")) {
        parse_sack(l, b);
    } else if (lex_take(l, "TS")) {
        parse_ts(l, b);
    } else if (lex_take(l, "FOEXP")) {
        parse_cookie(l, b, true);
    } else if (lex_take(l, "FO")) {
        parse_cookie(l, b, false);
    } else if (lex_take(l, "raw")) { // not packetdrill's: bytes as they are, for malformed options
        put_cookie(l, b);
    } else {
        lex_fail(l, "unknown option '%.20s'", l->p);
    }
}

static void parse_options(struct lex *l, struct script_packet *p)
{
    struct bytes b = {p->options, 0};

    if (!lex_take(l, "<"))
        return;
    if (lex_take(l, "...")) {
        p->any_options = true;
    } else {
        do
            parse_option(l, &b);
        while (lex_take(l, ","));
        while (b.len % 4)
            put_u8(l, &b, p->inbound ? OPTION_NOP : OPTION_END);
    }
    lex_expect(l, ">");
    p->options_len = (uint8_t)b.len;
}

// What an ICMP error is called, and its type and code in either family (0 where there is none).
struct icmp_name {
    const char *name;
    uint8_t v4[2], v6[2];
};

static const struct icmp_name icmp_names[] = {
    {"net_unreachable", {3, 0}, {1, 0}},      {"host_unreachable", {3, 1}, {1, 3}},
    {"protocol_unreachable", {3, 2}, {0, 0}}, {"port_unreachable", {3, 3}, {1, 4}},
    {"frag_needed", {3, 4}, {2, 0}},          {"source_route_failed", {3, 5}, {0, 0}},
    {"net_prohibited", {3, 9}, {1, 1}},       {"packet_filtered", {3, 13}, {1, 1}},
    {"time_exceeded", {11, 0}, {3, 0}},       {"parameter_problem", {12, 0}, {4, 0}},
    {"packet_too_big", {3, 4}, {2, 0}},       {"source_quench", {4, 0}, {0, 0}},
};

// "icmp unreachable frag_needed mtu 1400 [1:1461(1460)]"
static void parse_icmp(struct lex *l, struct script_packet *p)
{
    char name[SCRIPT_WORD_MAX];
    const struct icmp_name *n = icmp_names, *end = n + sizeof(icmp_names) / sizeof(icmp_names[0]);

    p->icmp = true;
    lex_take(l, "unreachable");
    lex_word(l, name, sizeof(name));
    while (n < end && strcmp(n->name, name))
        n++;
    if (n == end)
        lex_fail(l, "unknown ICMP error '%s'", name);
    memcpy(p->icmp4, n->v4, 2);
    memcpy(p->icmp6, n->v6, 2);
    if (lex_take(l, "mtu"))
        p->mtu = lex_u32(l);
    lex_expect(l, "[");
    parse_seq(l, p);
    lex_expect(l, "]");
}

void parse_packet(struct lex *l, struct script_packet *p)
{
    p->inbound = lex_take(l, "<");
    if (!p->inbound)
        lex_expect(l, ">");
    parse_ip_info(l, p);
    if (lex_take(l, "icmp")) {
        parse_icmp(l, p);
        return;
    }
    lex_space(l);
    if (isdigit((unsigned char)*l->p)) {
        p->has_ports = true;
        p->src_port = lex_u16(l);
        lex_expect(l, ">");
        p->dst_port = lex_u16(l);
    }
    parse_flags(l, p);
    parse_seq(l, p);
    p->has_ack = lex_take(l, "ack");
    if (p->has_ack)
        p->ack = lex_u32(l);
    p->has_window = lex_take(l, "win");
    if (p->has_window)
        p->window = lex_u16(l);
    if (lex_take(l, "urg"))
        p->urgent = lex_u16(l);
    parse_options(l, p);
}
