// SPDX-License-Identifier: BSD-2-Clause
// The small form of %{ }%: lines of "assert LEFT OP RIGHT [and LEFT OP RIGHT ...] [, message]",
// where a side is a number, a constant, a field of struct tcp_info as tcpi_NAME, or shunt_NAME: one
// of the engine's counters, or a field of the connection that tcp_info has not.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define tcp_ca_state linux_ca_state
#define TCP_CA_CWR   LINUX_CA_CWR
#include <linux/tcp.h>
#undef tcp_ca_state
#undef TCP_CA_CWR

#include "base/clock.h"
#include "base/util.h"
#include "constants.h"
#include "run.h"

#define SOL_TCP 6

struct field {
    const char *name;
    size_t offset, size;
};

#define INFO(f)                                                                                    \
    {                                                                                              \
        "tcpi_" #f, offsetof(struct tcp_info, tcpi_##f), sizeof(((struct tcp_info *)0)->tcpi_##f)  \
    }
#define COUNTER(f)                                                                                 \
    {                                                                                              \
        "shunt_" #f, offsetof(struct tcp_counters, f), sizeof(((struct tcp_counters *)0)->f)       \
    }

static const struct field infos[] = {
    INFO(state),          INFO(ca_state),      INFO(retransmits),  INFO(probes),
    INFO(backoff),        INFO(options),       INFO(rto),          INFO(snd_mss),
    INFO(rcv_mss),        INFO(unacked),       INFO(sacked),       INFO(lost),
    INFO(retrans),        INFO(pmtu),          INFO(rtt),          INFO(rttvar),
    INFO(snd_cwnd),       INFO(min_rtt),       INFO(snd_ssthresh), INFO(advmss),
    INFO(snd_wnd),        INFO(total_retrans), INFO(bytes_acked),  INFO(bytes_received),
    INFO(notsent_bytes),  INFO(rcv_space),     INFO(ato),          INFO(last_data_sent),
    INFO(last_data_recv),
};

static const struct field counters[] = {
    COUNTER(segs_in),
    COUNTER(segs_out),
    COUNTER(segs_retrans),
    COUNTER(rsts_in),
    COUNTER(rsts_out),
    COUNTER(active_opens),
    COUNTER(passive_opens),
    COUNTER(accept_overflows),
    COUNTER(resets),
    COUNTER(timeouts),
    COUNTER(drops_invalid),
    COUNTER(rtos),
    COUNTER(fast_recoveries),
    COUNTER(tlps),
    COUNTER(undos),
    COUNTER(frto_spurious),
    COUNTER(dsacks_in),
    COUNTER(dsacks_out),
    COUNTER(fast_path),
    COUNTER(challenge_acks),
    COUNTER(paws_drops),
    COUNTER(ooo_segs),
    COUNTER(ooo_drops),
    COUNTER(rcv_duplicates),
    COUNTER(cookies_sent),
    COUNTER(cookies_ok),
    COUNTER(cookies_bad),
    COUNTER(time_wait_reused),
    COUNTER(time_wait_recycled),
    COUNTER(ce_in),
    COUNTER(ece_in),
    COUNTER(mtu_reductions),
    COUNTER(mtu_probes),
    COUNTER(tfo_in),
    COUNTER(tfo_out),
    COUNTER(keepalives),
    COUNTER(zero_probes),
    COUNTER(conns),
    COUNTER(time_waits),
    COUNTER(spans),
};

static bool field_in(const struct field *f, size_t count, const char *name, const void *base,
                     int64_t *value)
{
    const char *at;

    for (; count; f++, count--) {
        if (strcmp(f->name, name))
            continue;
        at = (const char *)base + f->offset;
        *value = f->size == 1   ? *(const uint8_t *)at
                 : f->size == 4 ? *(const uint32_t *)(const void *)at
                                : (int64_t) * (const uint64_t *)(const void *)at;
        return true;
    }
    return false;
}

// The value of one side of a comparison; false where it is not known.
static bool side(struct run *r, const char *word, int64_t *value)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    char *end;

    *value = strtoll(word, &end, 0);
    if (end != word && !*end)
        return true;
    if (field_in(counters, ARRAY_LEN(counters), word, tcp_counters(stack_engine(r->stack)), value))
        return true;
    stack_getsockopt(r->stack, r->fd, SOL_TCP, TCP_INFO, &info, &len);
    return field_in(infos, ARRAY_LEN(infos), word, &info, value) || constant_value(word, value);
}

static bool compare(int64_t a, const char *op, int64_t b)
{
    if (!strcmp(op, "=="))
        return a == b;
    if (!strcmp(op, "!="))
        return a != b;
    if (!strcmp(op, "<="))
        return a <= b;
    if (!strcmp(op, ">="))
        return a >= b;
    return *op == '<' ? a < b : a > b;
}

// One comparison; returns where the text goes on, or NULL.
static const char *check_one(struct run *r, const struct event *e, const char *p)
{
    char left[64], op[3], right[64];
    int64_t a, b;
    int n;

    if (sscanf(p, " %63[A-Za-z0-9_] %2[=!<>] %63[A-Za-z0-9_-]%n", left, op, right, &n) != 3) {
        run_fail(r, e, "the assertion is not understood: %.60s", p);
        return NULL;
    }
    if (!side(r, left, &a) || !side(r, right, &b)) {
        run_fail(r, e, "not known: %s or %s", left, right);
        return NULL;
    }
    if (!compare(a, op, b))
        run_fail(r, e, "assert %s %s %s\n    expected: %lld\n    actual:   %lld", left, op, right,
                 (long long)b, (long long)a);
    return p + n;
}

static void check_line(struct run *r, const struct event *e, const char *line)
{
    const char *p = line;

    p += strspn(p, " \t");
    if (!*p || *p == '#')
        return;
    if (strncmp(p, "assert ", 7)) {
        run_fail(r, e, "only assertions are understood: %s", p);
        return;
    }
    p = check_one(r, e, p + 7);
    while (p) {
        p += strspn(p, " ");
        if (strncmp(p, "and ", 4))
            return; // the message, or the end
        p = check_one(r, e, p + 4);
    }
}

void check_code(struct run *r, const struct event *e)
{
    char text[SCRIPT_CODE_MAX], *save = NULL;

    memcpy(text, e->text, sizeof(text));
    for (char *line = strtok_r(text, "\n;", &save); line; line = strtok_r(NULL, "\n;", &save))
        check_line(r, e, line);
}
