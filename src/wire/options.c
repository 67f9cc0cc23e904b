// SPDX-License-Identifier: BSD-2-Clause
#include "wire/options.h"

#include "base/util.h"
#include "wire/bytes.h"

#define MSS_BYTES       4
#define WSCALE_BYTES    3
#define SACK_OK_BYTES   2
#define SACK_BASE_BYTES 2
#define SACK_ONE_BYTES  8
#define TS_BYTES        10
#define UTO_BYTES       4
#define TFO_BASE_BYTES  2
#define TFO_EXP_BYTES   4
#define WSCALE_MAX      14 // RFC 7323, section 2.3
#define TFO_MIN         4

// NOP, NOP, timestamps: what nearly all segments of a connection carry, read at one glance.
static const uint8_t usual_ts[4] = {OPTION_NOP, OPTION_NOP, OPTION_TS, TS_BYTES};

static void read_ts(const uint8_t *value, struct segment *s)
{
    s->opts |= SEG_OPT_TS;
    s->ts_val = get_be32(value);
    s->ts_ecr = get_be32(value + 4);
}

static void read_sack(const uint8_t *value, size_t len, struct segment *s)
{
    if (!len || len % SACK_ONE_BYTES)
        return;
    s->opts |= SEG_OPT_SACK;
    s->sack_count = (uint8_t)(len / SACK_ONE_BYTES);
    for (unsigned i = 0; i < s->sack_count; i++, value += SACK_ONE_BYTES)
        s->sack[i] = (struct seg_range){get_be32(value), get_be32(value + 4)};
}

// RFC 7413, section 4.1.1: a cookie has an even length of 4 to 16 bytes; none at all asks for one.
static void read_tfo(const uint8_t *cookie, size_t len, uint8_t form, struct segment *s)
{
    if (len && (len < TFO_MIN || len > SEG_TFO_MAX || len % 2))
        return;
    s->opts = (uint8_t)((s->opts & ~SEG_OPT_TFO_EXP) | SEG_OPT_TFO | form);
    s->tfo_len = (uint8_t)len;
    memcpy(s->tfo, cookie, len);
}

static void read_syn_option(uint8_t kind, const uint8_t *value, size_t len, struct segment *s)
{
    if (kind == OPTION_MSS && len == MSS_BYTES - 2 && get_be16(value)) {
        s->opts |= SEG_OPT_MSS;
        s->mss = get_be16(value);
    } else if (kind == OPTION_WSCALE && len == WSCALE_BYTES - 2) {
        s->opts |= SEG_OPT_WSCALE;
        s->wscale = MIN(value[0], (uint8_t)WSCALE_MAX);
    } else if (kind == OPTION_SACK_OK && !len) {
        s->opts |= SEG_OPT_SACK_OK;
    } else if (kind == OPTION_TFO) {
        read_tfo(value, len, 0, s);
    } else if (kind == OPTION_EXPERIMENT && len >= 2 && get_be16(value) == OPTION_TFO_MAGIC) {
        read_tfo(value + 2, len - 2, SEG_OPT_TFO_EXP, s);
    }
}

static void read_option(uint8_t kind, const uint8_t *value, size_t len, struct segment *s)
{
    if (kind == OPTION_TS && len == TS_BYTES - 2) {
        read_ts(value, s);
    } else if (kind == OPTION_SACK) {
        read_sack(value, len, s);
    } else if (kind == OPTION_UTO && len == UTO_BYTES - 2) {
        s->opts |= SEG_OPT_UTO;
        s->uto = get_be16(value);
    } else if (s->flags & SEG_SYN) {
        read_syn_option(kind, value, len, s);
    }
}

void options_parse(const uint8_t *options, size_t len, struct segment *s)
{
    const uint8_t *p = options, *end = options + len;

    s->opts = 0;
    s->sack_count = 0;
    s->tfo_len = 0;
    if (likely(len == TS_BYTES + 2 && !memcmp(p, usual_ts, sizeof(usual_ts)))) {
        read_ts(p + 4, s);
        return;
    }
    while (p < end && *p != OPTION_END) {
        if (*p == OPTION_NOP) {
            p++;
            continue;
        }
        if (end - p < 2 || p[1] < 2 || p[1] > end - p)
            return;
        read_option(p[0], p + 2, p[1] - 2u, s);
        p += p[1];
    }
}

static size_t tfo_bytes(const struct segment *s)
{
    if (!(s->opts & SEG_OPT_TFO))
        return 0;
    return s->tfo_len + (s->opts & SEG_OPT_TFO_EXP ? TFO_EXP_BYTES : TFO_BASE_BYTES);
}

// All but the SACK blocks, each padded as options_emit() pads it.
static size_t fixed_bytes(const struct segment *s)
{
    size_t n = 0;

    if (s->opts & SEG_OPT_MSS)
        n += MSS_BYTES;
    if (s->opts & SEG_OPT_TS)
        n += TS_BYTES + 2;
    else if (s->opts & SEG_OPT_SACK_OK)
        n += SACK_OK_BYTES + 2;
    if (s->opts & SEG_OPT_WSCALE)
        n += WSCALE_BYTES + 1;
    if (s->opts & SEG_OPT_UTO)
        n += UTO_BYTES;
    return n + (tfo_bytes(s) + 3) / 4 * 4;
}

static unsigned sacks_that_fit(const struct segment *s, size_t fixed)
{
    size_t base = fixed + 2 + SACK_BASE_BYTES;

    if (!(s->opts & SEG_OPT_SACK) || base + SACK_ONE_BYTES > OPTIONS_MAX_BYTES)
        return 0;
    return MIN((unsigned)s->sack_count, (unsigned)((OPTIONS_MAX_BYTES - base) / SACK_ONE_BYTES));
}

size_t options_bytes(const struct segment *s)
{
    size_t fixed = fixed_bytes(s);
    unsigned sacks = sacks_that_fit(s, fixed);

    return sacks ? fixed + 2 + SACK_BASE_BYTES + sacks * SACK_ONE_BYTES : fixed;
}

static uint8_t *put_kind(uint8_t *p, uint8_t kind, size_t len)
{
    p[0] = kind;
    p[1] = (uint8_t)len;
    return p + 2;
}

static uint8_t *put_nops(uint8_t *p, size_t n)
{
    memset(p, OPTION_NOP, n);
    return p + n;
}

// Timestamps, with SACK-permitted in the place of their two NOPs where both are there.
static uint8_t *put_ts_and_sack_ok(uint8_t *p, const struct segment *s)
{
    if (!(s->opts & (SEG_OPT_TS | SEG_OPT_SACK_OK)))
        return p;
    if (!(s->opts & SEG_OPT_TS))
        return put_kind(put_nops(p, 2), OPTION_SACK_OK, SACK_OK_BYTES);
    memcpy(p, usual_ts, sizeof(usual_ts));
    if (s->opts & SEG_OPT_SACK_OK)
        put_kind(p, OPTION_SACK_OK, SACK_OK_BYTES);
    p += sizeof(usual_ts);
    put_be32(p, s->ts_val);
    put_be32(p + 4, s->ts_ecr);
    return p + 8;
}

static uint8_t *put_sacks(uint8_t *p, const struct segment *s, unsigned count)
{
    p = put_kind(put_nops(p, 2), OPTION_SACK, SACK_BASE_BYTES + count * SACK_ONE_BYTES);
    for (unsigned i = 0; i < count; i++, p += SACK_ONE_BYTES) {
        put_be32(p, s->sack[i].start);
        put_be32(p + 4, s->sack[i].end);
    }
    return p;
}

static uint8_t *put_tfo(uint8_t *p, const struct segment *s)
{
    size_t len = tfo_bytes(s);

    if (s->opts & SEG_OPT_TFO_EXP) {
        p = put_kind(p, OPTION_EXPERIMENT, len);
        put_be16(p, OPTION_TFO_MAGIC);
        p += 2;
    } else {
        p = put_kind(p, OPTION_TFO, len);
    }
    memcpy(p, s->tfo, s->tfo_len);
    return put_nops(p + s->tfo_len, -len % 4);
}

size_t options_emit(const struct segment *s, uint8_t *out)
{
    unsigned sacks;
    uint8_t *p = out;

    if (!s->opts)
        return 0;
    sacks = sacks_that_fit(s, fixed_bytes(s));
    if (s->opts & SEG_OPT_MSS) {
        p = put_kind(p, OPTION_MSS, MSS_BYTES);
        put_be16(p, s->mss);
        p += 2;
    }
    p = put_ts_and_sack_ok(p, s);
    if (s->opts & SEG_OPT_WSCALE) {
        p = put_kind(put_nops(p, 1), OPTION_WSCALE, WSCALE_BYTES);
        *p++ = s->wscale;
    }
    if (sacks)
        p = put_sacks(p, s, sacks);
    if (s->opts & SEG_OPT_UTO) {
        p = put_kind(p, OPTION_UTO, UTO_BYTES);
        put_be16(p, s->uto);
        p += 2;
    }
    if (s->opts & SEG_OPT_TFO)
        p = put_tfo(p, s);
    return (size_t)(p - out);
}
