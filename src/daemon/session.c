// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/session.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define TELL_AFTER    64         // frames
#define ALL_OUT_BYTES (64 << 20) // of all sessions together

struct out_frame {
    struct list link;
    uint64_t seq;
    size_t n_bytes;
    uint8_t bytes[];
};

struct session *session_new(const struct flow_end *local, const struct flow_end *remote,
                            uint64_t id, uint64_t *all_bytes)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->local = *local;
    s->remote = *remote;
    s->local.port = s->remote.port = 0;
    s->id = id;
    s->all_bytes = all_bytes;
    s->idle_ns = CLOCK_NEVER;
    list_init(&s->of);
    list_init(&s->out);
    list_init(&s->channels);
    list_init(&s->parked);
    s->next = &s->out;
    return s;
}

static void forget(struct session *s, struct out_frame *f)
{
    if (s->next == &f->link)
        s->next = f->link.next;
    list_del(&f->link);
    s->out_bytes -= f->n_bytes;
    *s->all_bytes -= f->n_bytes;
    free(f);
}

void session_reset(struct session *s)
{
    list_for_each_safe (it, &s->out)
        forget(s, list_entry(it, struct out_frame, link));
    s->sent = s->received = s->told = 0;
}

void session_free(struct session *s)
{
    session_reset(s);
    list_del(&s->of);
    free(s);
}

int session_acked(struct session *s, uint64_t seq)
{
    if (seq > s->sent)
        return -EPROTO;
    while (!list_empty(&s->out)) {
        struct out_frame *f = list_entry(s->out.next, struct out_frame, link);

        if (f->seq > seq)
            break;
        forget(s, f);
    }
    return 0;
}

void session_resume(struct session *s, uint64_t received)
{
    session_acked(s, received);
    s->next = s->out.next;
    s->known = true;
    s->told = s->received;
    session_pump(s);
}

void session_pump(struct session *s)
{
    while (s->next != &s->out && session_is_up(s) && link_has_room(s->link)) {
        struct out_frame *f = list_entry(s->next, struct out_frame, link);

        s->next = f->link.next;
        link_send_bytes(s->link, f->bytes, f->n_bytes);
    }
}

int session_say(struct session *s, Agt__Frame *frame, uint64_t most_bytes)
{
    struct out_frame *f;
    size_t n;

    frame->seq = s->sent + 1;
    n = agt__frame__get_packed_size(frame);
    if (n + SEAL_OVERHEAD_BYTES > LINK_RECORD_BYTES || s->out_bytes + n > most_bytes ||
        *s->all_bytes + n > ALL_OUT_BYTES)
        return -ENOBUFS;
    f = malloc(sizeof *f + n);
    if (!f)
        return -ENOBUFS;
    f->seq = ++s->sent;
    f->n_bytes = n;
    agt__frame__pack(frame, f->bytes);
    s->out_bytes += n;
    *s->all_bytes += n;
    list_add_tail(&s->out, &f->link);
    if (s->next == &s->out)
        s->next = &f->link;
    session_pump(s);
    return 0;
}

bool session_heard(struct session *s, uint64_t seq, bool *gap)
{
    *gap = seq > s->received + 1;
    if (seq != s->received + 1)
        return false;
    s->received = seq;
    if (s->received - s->told >= TELL_AFTER)
        session_ping(s);
    return true;
}

void session_ping(struct session *s)
{
    Agt__Ping ping = AGT__PING__INIT;
    Agt__Frame frame;

    if (!session_is_up(s))
        return;
    LINK_FRAME(&frame, PING, ping, &ping);
    frame.ack = s->received;
    s->told = s->received;
    link_send(s->link, &frame);
}
