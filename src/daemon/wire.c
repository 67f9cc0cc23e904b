// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/wire.h"

#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/util.h"
#include "cm/iface.h"
#include "daemon/letgo.h"
#include "daemon/out.h"
#include "daemon/route.h"
#include "daemon/stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KNOWN_MAX 8
#define WHY_BYTES 128

// What a client has asked, until the last stack has answered.
struct question {
    struct list link;      // in client.questions
    struct client *client; // NULL: gone
    uint64_t known[KNOWN_MAX];
    size_t n_known;
    uint32_t left;    // stacks that have not answered
    uint32_t granted; // stacks that said yes
    enum keep_kind kind;
    int err; // of the last refusal
    char why[WHY_BYTES];
};

// The part of it that one stack is asked, with the port that is held for it.
struct part {
    struct ask ask;
    struct question *question;
    struct ip_addr local;
    uint16_t port; // 0: none
};

// ---- answers ----

static void refuse(struct client *client, int err, const char *reason)
{
    Ctl__WireRefused refused = CTL__WIRE_REFUSED__INIT;
    Ctl__Envelope msg;

    log_info("pid %d: no own TCP: %s (%s)", (int)client->pid, reason, err_text(err));
    refused.reason = (char *)(uintptr_t)reason;
    refused.error = -err;
    PACKET_INIT(&msg, WIRE_REFUSED, wire_refused, &refused);
    client_send(client, &msg, NULL, 0);
}

static void tell_grant(struct client *client, const struct stack *s)
{
    const struct queue_grant *g = &s->door.grant;
    Ctl__WireGrant grant = CTL__WIRE_GRANT__INIT;
    Ctl__Envelope msg;

    grant.stack = s->id;
    PACKET_INIT(&msg, WIRE_GRANT, wire_grant, &grant);
    for (int i = 0; i < g->desc.fd_count; i += PACKET_MAX_FDS)
        client_send(client, &msg, g->fd + i, MIN(g->desc.fd_count - i, PACKET_MAX_FDS));
}

// What a program needs to drive s, unless it has it.
static void tell_stack(struct client *client, const struct stack *s, const uint64_t *known,
                       size_t n_known)
{
    int fds[] = {s->arena, s->bell};
    Ctl__WireStack stack = CTL__WIRE_STACK__INIT;
    Ctl__Envelope msg;

    for (size_t i = 0; i < n_known; i++)
        if (known[i] == s->id)
            return;
    stack.id = s->id;
    stack.name = (char *)(uintptr_t)s->name;
    stack.queue.data = (uint8_t *)(uintptr_t)&s->door.grant.desc;
    stack.queue.len = sizeof s->door.grant.desc;
    stack.queue_fds = s->door.grant.desc.fd_count;
    PACKET_INIT(&msg, WIRE_STACK, wire_stack, &stack);
    client_send(client, &msg, fds, ARRAY_LEN(fds));
    tell_grant(client, s);
}

static void tell_socket(struct client *client, const struct stack *s, const struct keep_done *done,
                        const int *fds, int n_fds)
{
    Ctl__WireSocket sock = CTL__WIRE_SOCKET__INIT;
    Ctl__Envelope msg;

    sock.stack = s->id;
    sock.socket = done->sock;
    sock.chunk_slot = done->chunk_slot;
    PACKET_INIT(&msg, WIRE_SOCKET, wire_socket, &sock);
    client_send(client, &msg, fds, n_fds);
}

// ---- questions ----

static struct question *question_new(struct client *client, enum keep_kind kind,
                                     const uint64_t *known, size_t n_known)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->client = client;
    q->kind = kind;
    q->n_known = MIN(n_known, (size_t)KNOWN_MAX);
    for (size_t i = 0; i < q->n_known; i++)
        q->known[i] = known[i];
    list_add_tail(&client->questions, &q->link);
    return q;
}

static void note_refusal(struct question *q, int err, const char *why)
{
    q->err = err;
    snprintf(q->why, sizeof q->why, "%s", why);
}

static bool yes_is_a_socket(const struct question *q)
{
    return q->kind == KEEP_OPEN || q->kind == KEEP_ATTACH;
}

// Nobody is to be heard any more.
static void question_end(struct question *q)
{
    static const struct keep_done yes;

    if (q->client && !q->granted)
        refuse(q->client, q->err, q->why);
    else if (q->client && !yes_is_a_socket(q))
        tell_socket(q->client, &(struct stack){0}, &yes, NULL, 0);
    list_del(&q->link);
    free(q);
}

static void part_granted(struct question *q, struct stack *s, const struct keep_done *done,
                         const int *fds, int n_fds)
{
    q->granted++;
    if (!q->client)
        return; // the fds are closed, and so the keeper hears of it
    if (q->kind != KEEP_RELAY)
        tell_stack(q->client, s, q->known, q->n_known);
    if (yes_is_a_socket(q))
        tell_socket(q->client, s, done, fds, n_fds);
}

// Does the client wait for an answer still? One that has given up hangs up, perhaps a moment ago.
static bool is_awaited(const struct question *q)
{
    struct pollfd p = {q->client ? q->client->watch.fd : -1, POLLRDHUP, 0};

    return q->client && poll(&p, 1, 0) == 0;
}

// The keeper listens: now it may have the packets that the kernel has served so far. Not for who
// has given up, and now relies on the kernel alone.
static void on_listening(struct part *part, struct stack *s)
{
    struct question *q = part->question;
    int err = is_awaited(q) ? net_ports_steer(s->ports, &part->local, part->port) : -EPIPE;

    if (err)
        note_refusal(q, err, "the listener cannot have its packets");
    else
        part_granted(q, s, NULL, NULL, 0);
}

static void part_refused(struct part *part, struct stack *s, int err, const char *why)
{
    note_refusal(part->question, err, why);
    if (part->port && !s->dead)
        net_ports_release(s->ports, &part->local, part->port);
}

// What the keeper of s says.
static void on_answer(struct ask *ask, struct stack *s, const struct keep_done *done,
                      const int *fds, int n_fds)
{
    struct part *part = list_entry(ask, struct part, ask);
    struct question *q = part->question;

    if (!done)
        part_refused(part, s, -ECONNRESET, "the stack is over");
    else if (done->error)
        part_refused(part, s, done->error < 0 ? done->error : -ECONNRESET, done->why);
    else if (q->kind == KEEP_LISTEN)
        on_listening(part, s);
    else if (yes_is_a_socket(q) && n_fds != 2) // they hang up: the keeper lets go of the port
        note_refusal(q, -EMFILE, "shuntd has no file descriptors left");
    else
        part_granted(q, s, done, fds, n_fds);
    free(part);
    if (!--q->left)
        question_end(q);
}

// Holds the port that m names. One that the program has bound is its own already; port 0 is chosen.
// The answers to what connects from it are to come to the stack at once. 0 or -errno.
static int hold_port(struct stack *s, struct keep_msg *m)
{
    struct keep_ask *a = &m->ask;
    int err;

    if (!a->local_port)
        return net_ports_take(s->ports, &a->local, &a->local_port);
    err = net_ports_share(s->ports, &a->local, a->local_port);
    if (err || m->kind != KEEP_OPEN)
        return err;
    err = net_ports_steer(s->ports, &a->local, a->local_port);
    if (err)
        net_ports_release(s->ports, &a->local, a->local_port);
    return err;
}

// Holds the port, and asks s. 0, or -errno with a phrase in q.
static int ask_holding(struct question *q, struct stack *s, struct keep_msg *m, int fd)
{
    struct keep_ask *a = &m->ask;
    struct part *part;
    int err;

    if (stack_is_stopped(s)) {
        note_refusal(q, -EBUSY, "the stack's keeper is stopped");
        return -EBUSY;
    }
    part = calloc(1, sizeof *part);
    err = part ? hold_port(s, m) : -ENOMEM;
    if (err) {
        note_refusal(q, err, "the local port cannot be had");
        free(part);
        return err;
    }
    *part = (struct part){{.done = on_answer}, q, a->local, a->local_port};
    err = stack_ask(s, &part->ask, m, &fd, fd >= 0);
    if (!err) {
        q->left++;
        return 0;
    }
    note_refusal(q, err, "the stack does not listen");
    net_ports_release(s->ports, &a->local, a->local_port);
    free(part);
    return err;
}

void wire_forget(struct client *client)
{
    list_for_each_safe (it, &client->questions) {
        list_entry(it, struct question, link)->client = NULL;
        list_del(it);
    }
}

// ---- connecting ----

static const char *check_socket(const struct client *client, int sock)
{
    uint64_t netns = 0;
    int type = 0, protocol = 0;
    socklen_t n = sizeof netns, m = sizeof type;

    if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &m) || type != SOCK_STREAM ||
        getsockopt(sock, SOL_SOCKET, SO_PROTOCOL, &protocol, &m) || protocol != IPPROTO_TCP)
        return "that is no TCP socket";
    if (getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &n) ||
        netns != client->clients->registry->diag.own_netns)
        return "the program is in another network namespace than shuntd";
    return NULL;
}

static void take_options(Ctl__WireOption *const *said, size_t n, struct keep_ask *ask)
{
    ask->option_count = (uint32_t)MIN(n, (size_t)KEEP_OPTIONS);
    for (size_t i = 0; i < ask->option_count; i++)
        ask->option[i] = (struct net_option){(enum tcp_option)said[i]->option, said[i]->value};
}

// The address that the program has bound sock to; both zero: none.
static void bound_to(int sock, struct ip_addr *ip, uint16_t *port)
{
    union cm_addr name = {0};
    socklen_t n = sizeof name;

    getsockname(sock, &name.sa, &n);
    route_ip(&name, ip, port);
}

static void open_on(struct client *client, struct stack *s, struct keep_msg *m,
                    const Ctl__WireOpen *said)
{
    struct question *q = question_new(client, KEEP_OPEN, said->known, said->n_known);

    if (!q)
        refuse(client, -ENOMEM, "shuntd has no memory left");
    else if (ask_holding(q, s, m, -1))
        question_end(q);
}

static const char *no_socket(const struct packet *p)
{
    return p->fds_lost ? "shuntd has no file descriptors left" : "no socket was passed";
}

static void on_open(struct client *client, const Ctl__WireOpen *said, struct packet *p)
{
    struct keep_msg m = {.kind = KEEP_OPEN};
    char interface[IF_NAMESIZE], why[WHY_BYTES];
    int sock = packet_take(p, 0), err;
    const char *reason = sock < 0 ? no_socket(p) : check_socket(client, sock);
    union cm_addr remote;
    struct stack *s;

    packet_read_address(said->remote, &remote);
    take_options(said->options, said->n_options, &m.ask);
    if (!reason)
        bound_to(sock, &m.ask.local, &m.ask.local_port);
    if (sock >= 0)
        letgo(sock);
    if (!reason && !route_ip(&remote, &m.ask.remote, &m.ask.remote_port))
        reason = "the peer's address makes no sense";
    if (!reason)
        reason = route_to(&remote, &m.ask.local, interface);
    if (reason) {
        refuse(client, -EINVAL, reason);
        return;
    }
    err = stack_get(client->clients->stacks, client->user, interface, &s, why, sizeof why);
    if (err)
        refuse(client, err, why);
    else
        open_on(client, s, &m, said);
}

// ---- listening ----

struct listening {
    struct question *question;
    struct keep_msg msg;
    int ears;
};

static void listen_by(void *arg, const char *interface)
{
    struct listening *l = arg;
    struct question *q = l->question;
    struct client *client = q->client;
    struct stack *s;
    char why[WHY_BYTES];
    int err = stack_get(client->clients->stacks, client->user, interface, &s, why, sizeof why);

    if (err)
        note_refusal(q, err, why);
    else
        ask_holding(q, s, &l->msg, l->ears);
}

static void listen_everywhere(struct client *client, struct listening *l,
                              const Ctl__WireListen *said)
{
    struct question *q = question_new(client, KEEP_LISTEN, said->known, said->n_known);

    if (!q) {
        refuse(client, -ENOMEM, "shuntd has no memory left");
        return;
    }
    note_refusal(q, -ENODEV, "no interface for that address has a queue");
    l->question = q;
    route_each_interface(&l->msg.ask.local, listen_by, l);
    if (!q->left)
        question_end(q);
}

static void on_listen(struct client *client, const Ctl__WireListen *said, struct packet *p)
{
    struct listening l = {.msg = {.kind = KEEP_LISTEN, .ask.backlog = said->backlog},
                          .ears = packet_take(p, 1)};
    int sock = packet_take(p, 0);
    const char *reason = sock < 0 || l.ears < 0 ? no_socket(p) : check_socket(client, sock);

    take_options(said->options, said->n_options, &l.msg.ask);
    if (!reason)
        bound_to(sock, &l.msg.ask.local, &l.msg.ask.local_port);
    if (!reason && !l.msg.ask.local_port)
        reason = "the socket is not bound";
    if (sock >= 0)
        letgo(sock);
    if (reason)
        refuse(client, -EINVAL, reason);
    else
        listen_everywhere(client, &l, said);
    if (l.ears >= 0)
        letgo(l.ears);
}

// ---- other processes ----

// Asks all stacks of the client's user.
static void ask_all(struct client *client, struct question *q, const struct keep_msg *m, int fd)
{
    list_for_each (it, &client->clients->stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);
        struct part *part = s->user == client->user && q ? calloc(1, sizeof *part) : NULL;

        if (part)
            *part = (struct part){.ask.done = on_answer, .question = q};
        if (s->user != client->user || (q && !part))
            continue;
        if (stack_ask(s, part ? &part->ask : NULL, m, &fd, fd >= 0))
            free(part);
        else if (q)
            q->left++;
    }
}

static void on_share(struct client *client, const Ctl__WireShare *said, struct packet *p)
{
    const struct keep_msg m = {.kind = KEEP_SHARE,
                               .ask = {.cookie = said->cookie, .chunk_slot = said->chunk_slot}};
    int fd = packet_take(p, 0);

    if (fd < 0) {
        refuse(client, -EINVAL, "no chunk was passed");
        return;
    }
    ask_all(client, NULL, &m, fd); // a keeper hears it before any question that follows
    letgo(fd);
    tell_socket(client, &(struct stack){0}, &(struct keep_done){0}, NULL, 0);
}

// Asks whose connection has the lifeline that m names.
static void ask_owner(struct client *client, const struct keep_msg *m, const uint64_t *known,
                      size_t n_known)
{
    struct question *q = question_new(client, m->kind, known, n_known);

    if (!q) {
        refuse(client, -ENOMEM, "shuntd has no memory left");
        return;
    }
    note_refusal(q, -ENOENT, "that is no connection of ours");
    if (m->ask.cookie)
        ask_all(client, q, m, -1);
    if (!q->left)
        question_end(q);
}

static void on_attach(struct client *client, const Ctl__WireAttach *said, struct packet *p)
{
    struct keep_msg m = {.kind = KEEP_ATTACH};
    int sock = packet_take(p, 0);

    if (sock >= 0 && sys_cookie(sock) == said->cookie)
        m.ask.cookie = said->cookie;
    if (sock >= 0)
        letgo(sock);
    ask_owner(client, &m, said->known, said->n_known);
}

static void on_relay(struct client *client, const Ctl__WireRelay *said)
{
    const struct keep_msg m = {.kind = KEEP_RELAY,
                               .ask = {.cookie = said->cookie, .hard = said->hard}};

    ask_owner(client, &m, NULL, 0);
}

void wire_handle(struct client *client, struct packet *p)
{
    const Ctl__Envelope *msg = p->msg;

    if (!client->clients->stacks)
        return;
    switch (msg->body_case) {
    case CTL__ENVELOPE__BODY_WIRE_OPEN:
        on_open(client, msg->wire_open, p);
        break;
    case CTL__ENVELOPE__BODY_WIRE_LISTEN:
        on_listen(client, msg->wire_listen, p);
        break;
    case CTL__ENVELOPE__BODY_WIRE_SHARE:
        on_share(client, msg->wire_share, p);
        break;
    case CTL__ENVELOPE__BODY_WIRE_ATTACH:
        on_attach(client, msg->wire_attach, p);
        break;
    case CTL__ENVELOPE__BODY_WIRE_RELAY:
        on_relay(client, msg->wire_relay);
        break;
    default:
        break;
    }
}
