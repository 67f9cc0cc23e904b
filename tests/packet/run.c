// SPDX-License-Identifier: BSD-2-Clause
#include "run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"
#include "wire/text.h"

#define FIRST_REMOTE_PORT 40001
#define SERVER_PORT       8080

int64_t run_now(const struct run *r)
{
    return r->stack ? (int64_t)(stack_now(r->stack) - r->start_ns) : 0;
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

void run_fail(struct run *r, const struct event *e, const char *fmt, ...)
{
    va_list ap;

    fprintf(r->report, "line %d, at %.6f s: ", e ? e->line : 0, seconds(run_now(r)));
    va_start(ap, fmt);
    vfprintf(r->report, fmt, ap);
    va_end(ap);
    fputc('\n', r->report);
    r->failed = true;
}

// Calls that wait ---------------------------------------------------------------------------------

static bool would_block(int64_t result)
{
    return result == -EAGAIN || result == -EINPROGRESS || result == -EALREADY;
}

static void check_result(struct run *r, const struct event *e, int64_t got)
{
    int64_t want = call_wanted(r, e);

    if (got != want)
        run_fail(r, e, "%s() returned %lld (%s), expected %lld (%s)", e->call.name, (long long)got,
                 got < 0 ? err_text((int)got) : "fine", (long long)want,
                 want < 0 ? err_text((int)want) : "fine");
}

// A connect() that was waiting is asked again: "is connected" is then its success.
static int64_t ask_again(struct run *r, const struct event *e)
{
    int64_t got = call_make(r, e);

    return !strcmp(e->call.name, "connect") && got == -EISCONN ? 0 : got;
}

static void poll_pending(struct run *r)
{
    const struct event *e = r->pending.event;
    int64_t got;

    if (!e)
        return;
    got = ask_again(r, e);
    if (would_block(got)) {
        if (run_now(r) > r->pending.end_ns + r->tolerance_ns) {
            run_fail(r, e, "%s() still waits, expected to return at %.6f s", e->call.name,
                     seconds(r->pending.end_ns));
            r->pending.event = NULL;
        }
        return;
    }
    r->pending.event = NULL;
    check_result(r, e, got);
    if (llabs(run_now(r) - r->pending.end_ns) > r->tolerance_ns)
        run_fail(r, e, "%s() returned now, expected at %.6f s", e->call.name,
                 seconds(r->pending.end_ns));
}

// Lets time pass to until_ns, but not beyond the sending of a packet where stop_at_packet is set.
static void pass_time(struct run *r, int64_t until_ns, bool stop_at_packet)
{
    uint64_t until = r->start_ns + (uint64_t)until_ns, next;

    for (;;) {
        poll_pending(r);
        if (r->failed || (stop_at_packet && stack_peek(r->stack) != CLOCK_NEVER))
            return;
        next = MIN(stack_deadline(r->stack), until);
        next = MAX(next, stack_now(r->stack));
        stack_advance(r->stack, next);
        if (next >= until)
            break;
    }
    poll_pending(r);
}

static void run_call(struct run *r, const struct event *e)
{
    int64_t got = call_make(r, e);

    if (e->call.blocks && would_block(got)) {
        r->pending.event = e;
        r->pending.end_ns = e->call.end_ns + (e->when.kind == TIME_ABSOLUTE ? 0 : run_now(r));
        return;
    }
    if (e->call.blocks)
        run_fail(r, e, "%s() returned at once (%lld), expected to wait", e->call.name,
                 (long long)got);
    else
        check_result(r, e, got);
}

// Flows -------------------------------------------------------------------------------------------

static struct flow *find_flow(struct run *r, uint16_t local_port, uint16_t remote_port)
{
    for (struct flow *f = r->flows; f < r->flows + RUN_FLOWS; f++)
        if (f->used && f->local_port == local_port && f->remote_port == remote_port)
            return f;
    return NULL;
}

static struct flow *new_flow(struct run *r, uint16_t local_port, uint16_t remote_port)
{
    struct flow *f = r->flows;

    while (f->used && f < r->flows + RUN_FLOWS - 1)
        f++; // the last one is used again and again
    *f = (struct flow){.used = true,
                       .local_port = local_port,
                       .remote_port = remote_port,
                       .remote_isn = r->remote_isn};
    ip_addr_parse(r->ipv6 ? "fd3d:fa7b:d17d::1" : "192.168.0.1", &f->local);
    ip_addr_parse(r->ipv6 ? "2001:db8::1" : "192.0.2.1", &f->remote);
    return f;
}

// The flow of a packet of the script: by its ports, or the one at hand.
static struct flow *flow_of_script(struct run *r, const struct script_packet *p)
{
    uint16_t local = p->inbound ? p->dst_port : p->src_port;
    uint16_t remote = p->inbound ? p->src_port : p->dst_port;

    if (p->has_ports) {
        r->flow = find_flow(r, local, remote);
        if (!r->flow)
            r->flow = new_flow(r, local, remote);
    } else if (!r->flow) {
        r->flow = new_flow(r, SERVER_PORT, FIRST_REMOTE_PORT);
    }
    return r->flow;
}

static struct flow *flow_of_live(struct run *r, const struct live_packet *lp)
{
    const struct segment *s = &lp->seg;
    struct flow *f = find_flow(r, s->src_port, s->dst_port);

    if (!f) {
        f = new_flow(r, s->src_port, s->dst_port);
        r->flow = f;
    }
    if (s->flags & SEG_SYN)
        f->local_isn = s->seq;
    return f;
}

// Packets -----------------------------------------------------------------------------------------

// The next packet that left into r->live. Returns false where there is none.
static bool take_live(struct run *r, const struct event *e)
{
    ptrdiff_t n = stack_take(r->stack, r->live.bytes, &r->live.sent_ns);
    int err;

    if (n < 0)
        return false;
    r->live.len = (size_t)n;
    err = live_parse(&r->live);
    if (err)
        run_fail(r, e, "a packet left that cannot be read: %s", err_text(err));
    return !err;
}

static void tell_unexpected(struct run *r, const struct event *e)
{
    char text[FLOW_TEXT_BYTES];
    const struct flow *f = flow_of_live(r, &r->live);

    flow_text_live(f, &r->live, NULL, text);
    run_fail(r, e, "unexpected packet\n    actual:   %.6f %s",
             seconds((int64_t)(r->live.sent_ns - r->start_ns)), text);
}

static void inject(struct run *r, const struct event *e)
{
    static uint8_t bytes[FLOW_PACKET_BYTES];
    struct flow *f = flow_of_script(r, &e->packet);
    size_t len = flow_build(f, &e->packet, bytes);
    int err = stack_inject(r->stack, bytes, len);

    if (err && err != -ENOMSG)
        run_fail(r, e, "the packet of the script was refused: %s", err_text(err));
}

// A time of the script that the packet's own time may not leave.
static bool in_time(const struct run *r, int64_t sent, int64_t from, int64_t to)
{
    return sent >= from - r->tolerance_ns && sent <= to + r->tolerance_ns;
}

static void compare(struct run *r, const struct event *e, int64_t from, int64_t to)
{
    char want[FLOW_TEXT_BYTES], got[FLOW_TEXT_BYTES];
    struct flow *f = flow_of_live(r, &r->live);
    int64_t sent = (int64_t)(r->live.sent_ns - r->start_ns);
    bool late = e->when.kind != TIME_ANY && !in_time(r, sent, from, to);
    uint32_t wrong;

    flow_learn_ts(f, &r->live, &e->packet);
    flow_text_script(&e->packet, want);
    flow_text_live(f, &r->live, &e->packet, got);
    if (late || strcmp(want, got)) {
        flow_text_live(f, &r->live, strcmp(want, got) ? NULL : &e->packet, got);
        run_fail(r, e, "%s\n    expected: %.6f %s\n    actual:   %.6f %s",
                 late ? "packet at a wrong time" : "wrong packet", seconds(from), want,
                 seconds(sent), got);
    }
    wrong = flow_wrong_byte(f, &r->live);
    if (wrong)
        run_fail(r, e, "the byte at %u is not the one that was written", wrong);
}

static void expect(struct run *r, const struct event *e, int64_t from, int64_t to)
{
    int64_t until =
        e->when.kind == TIME_ANY ? run_now(r) + 1000 * (int64_t)NS_PER_S : to + r->tolerance_ns;
    char want[FLOW_TEXT_BYTES];

    if (stack_peek(r->stack) == CLOCK_NEVER)
        pass_time(r, MAX(until, run_now(r)), true);
    if (r->failed)
        return;
    if (take_live(r, e)) {
        compare(r, e, from, to);
    } else if (!r->failed) {
        flow_text_script(&e->packet, want);
        run_fail(r, e, "no packet\n    expected: %.6f %s", seconds(from), want);
    }
}

// Events ------------------------------------------------------------------------------------------

static void run_event(struct run *r, const struct event *e)
{
    bool relative = e->when.kind != TIME_ABSOLUTE;
    int64_t from = e->when.from_ns + (relative ? r->last_ns : 0);
    int64_t to = e->when.to_ns + (relative ? r->last_ns : 0);

    if (e->kind == EVENT_PACKET && !e->packet.inbound) {
        expect(r, e, from, to);
        // a range, or any time: the next event counts from when it really came
        r->last_ns = e->when.kind == TIME_ANY || from != to
                         ? (int64_t)(r->live.sent_ns - r->start_ns)
                         : from;
        return;
    }
    pass_time(r, MAX(from, run_now(r)), false);
    r->last_ns = e->when.kind == TIME_ANY ? run_now(r) : from;
    if (r->failed)
        return;
    if (e->kind == EVENT_PACKET)
        inject(r, e);
    else if (e->kind == EVENT_CALL)
        run_call(r, e);
    else if (e->kind == EVENT_CODE)
        check_code(r, e);
    poll_pending(r);
}

// What must hold when the script has ended: nothing unexpected left, nothing waits, and with all
// sockets reset, nothing is kept.
static void check_end(struct run *r)
{
    const struct tcp_counters *n = tcp_counters(stack_engine(r->stack));
    static const int on_reset[2] = {1, 0}; // struct linger

    if (r->pending.event)
        run_fail(r, r->pending.event, "%s() never returned", r->pending.event->call.name);
    if (take_live(r, NULL) && r->strict)
        tell_unexpected(r, NULL);
    for (int fd = STACK_FIRST_FD; fd < STACK_FIRST_FD + 64; fd++) {
        stack_setsockopt(r->stack, fd, SOL_SOCKET, SO_LINGER, on_reset, sizeof(on_reset));
        stack_close(r->stack, fd);
    }
    stack_advance(r->stack, stack_now(r->stack) + 10000 * NS_PER_S);
    if (n->conns || n->time_waits || n->spans)
        run_fail(r, NULL, "leaked: %u connections, %u in TIME-WAIT, %u spans", n->conns,
                 n->time_waits, n->spans);
    if (stack_deadline(r->stack) != CLOCK_NEVER)
        run_fail(r, NULL, "a timer is left");
}

bool run_script(const struct script *s, FILE *report)
{
    struct run *r = calloc(1, sizeof(*r));
    struct stack_config cfg;
    bool passed;

    if (!r)
        return false;
    r->script = s;
    r->report = report;
    r->fd = -1;
    if (run_configure(r, &cfg)) {
        r->stack = stack_new(&cfg);
        if (!r->stack)
            run_fail(r, NULL, "the engine refuses the configuration");
    }
    if (r->stack) {
        r->start_ns = stack_now(r->stack);
        for (const struct event *e = s->first; e && !r->failed; e = e->next)
            run_event(r, e);
        if (!r->failed)
            check_end(r);
        stack_free(r->stack);
    }
    passed = !r->failed;
    free(r);
    return passed;
}
