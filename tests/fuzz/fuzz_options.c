// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as TCP options, with and without SYN: parsed, written and parsed again they say the
// same.
#include <string.h>

#include "fuzz.h"
#include "wire/options.h"

static void check_values(const struct segment *s)
{
    must(s->wscale <= 14);
    must(!(s->opts & SEG_OPT_MSS) || s->mss);
    must(!(s->opts & SEG_OPT_SACK) || (s->sack_count >= 1 && s->sack_count <= SEG_SACK_MAX));
    must(!(s->opts & SEG_OPT_TFO) || !s->tfo_len ||
         (s->tfo_len >= 4 && s->tfo_len <= SEG_TFO_MAX && s->tfo_len % 2 == 0));
    must(!(s->opts & SEG_OPT_TFO_EXP) || s->opts & SEG_OPT_TFO);
    if (!(s->flags & SEG_SYN))
        must(!(s->opts & (SEG_OPT_MSS | SEG_OPT_WSCALE | SEG_OPT_SACK_OK | SEG_OPT_TFO)));
}

static void check(const uint8_t *data, size_t size, uint8_t flags)
{
    struct segment s = {.flags = flags}, back = {.flags = flags};
    uint8_t bytes[OPTIONS_MAX_BYTES + 16];
    size_t len;

    options_parse(data, size, &s);
    check_values(&s);
    len = options_bytes(&s);
    if (len > OPTIONS_MAX_BYTES)
        return; // more than any sender can lay out with our padding
    must(options_emit(&s, bytes) == len && len % 4 == 0);
    options_parse(bytes, len, &back);
    // SACK blocks beyond the room are left out, the last first
    must(back.opts == s.opts || (back.opts | SEG_OPT_SACK) == s.opts);
    must(back.sack_count <= s.sack_count);
    must(!memcmp(back.sack, s.sack, back.sack_count * sizeof(s.sack[0])));
    must(back.mss == s.mss && back.wscale == s.wscale && back.uto == s.uto);
    must(back.ts_val == s.ts_val && back.ts_ecr == s.ts_ecr);
    must(back.tfo_len == s.tfo_len && !memcmp(back.tfo, s.tfo, s.tfo_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > OPTIONS_MAX_BYTES)
        size = OPTIONS_MAX_BYTES;
    check(data, size, SEG_SYN);
    check(data, size, SEG_ACK);
    return 0;
}
