// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/wire.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "cm/accepted.h"
#include "cm/iface.h"
#include "daemon/letgo.h"
#include "daemon/out.h"
#include "daemon/relay.h"
#include "daemon/route.h"
#include "daemon/stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOCK_NS     (50 * NS_PER_MS) // a program that drives has let go of the stack by then
#define OPTIONS_MAX 16
#define WHY_BYTES   128

// One connection, or one listening socket of one stack.
struct wire {
    struct stack_user user;
    struct watch watch; // our end of the lifeline; of a listener: fd -1
    struct stack *stack;
    int bell;          // -1: a listener
    uint64_t cookie;   // SO_COOKIE of the program's end
    struct ears *ears; // of a listener
    struct list of_ears;
    struct ip_addr local; // with port what it holds at stack->ports
    uint16_t port;        // 0: nothing
    int chunk_fd;         // where the program keeps its state, if it has told
    uint32_t chunk_slot;
    struct relay relay;      // where the program has let go of the rings
    struct watch bell_watch; // only then
    bool gone;               // the last copy of the lifeline is closed, and not all is sent yet
};

// What hears the connections of one listener of a program, on every stack.
struct ears {
    struct watch watch; // our end of the pair
    struct loop *loop;
    struct list wires;
    bool full; // the program does not take them as fast as they come
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
    const struct queue_grant *g = &s->queue->grant;
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
    stack.queue.data = (uint8_t *)(uintptr_t)&s->queue->grant.desc;
    stack.queue.len = sizeof s->queue->grant.desc;
    stack.queue_fds = s->queue->grant.desc.fd_count;
    PACKET_INIT(&msg, WIRE_STACK, wire_stack, &stack);
    client_send(client, &msg, fds, ARRAY_LEN(fds));
    tell_grant(client, s);
}

static void tell_socket(struct client *client, const struct wire *w, const int *fds, int n_fds)
{
    Ctl__WireSocket sock = CTL__WIRE_SOCKET__INIT;
    Ctl__Envelope msg;

    sock.stack = w->stack->id;
    sock.socket = w->user.sock;
    sock.chunk_slot = w->chunk_slot;
    PACKET_INIT(&msg, WIRE_SOCKET, wire_socket, &sock);
    client_send(client, &msg, fds, n_fds);
}

// ---- wires ----

static void wire_free(struct wire *w)
{
    if (w->port)
        net_ports_release(w->stack->ports, &w->local, w->port);
    list_del(&w->of_ears);
    if (w->relay.net)
        loop_remove(w->stack->stacks->loop, &w->bell_watch);
    if (w->watch.fd >= 0) {
        if (!w->gone)
            loop_remove(w->stack->stacks->loop, &w->watch);
        close(w->watch.fd);
        w->watch.fd = -1;
    }
    if (w->bell >= 0)
        close(w->bell);
    if (w->chunk_fd >= 0)
        close(w->chunk_fd);
    stack_bury(w->stack, &w->user);
}

// The stack has died. Our end goes, and the program's hangs up.
static void wire_dead(struct stack_user *user)
{
    wire_free(list_entry(user, struct wire, user));
}

static void ring(struct stack_user *user)
{
    static const uint64_t one = 1;
    const struct wire *w = list_entry(user, struct wire, user);

    if (write(w->bell, &one, sizeof one) < 0 && errno != EAGAIN)
        log_warn("a bell cannot be rung: %s", strerror(errno));
}

static struct wire *wire_new(struct stack *s)
{
    struct wire *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    *w = (struct wire){.stack = s, .bell = -1, .chunk_fd = -1, .watch.fd = -1};
    w->user.woken = ring;
    w->user.dead = wire_dead;
    list_init(&w->user.link);
    list_init(&w->of_ears);
    return w;
}

static void wire_end(struct wire *w, bool reset)
{
    struct stack *s = w->stack;

    stack_remove(s, &w->user);
    net_request(s->net, clock_now_ns(), w->user.sock, reset ? NET_ABORT : NET_CLOSE);
    wire_free(w);
    stack_turn(s);
}

static void relay_on(struct wire *w)
{
    unsigned wish = relay_turn(&w->relay, w->gone);

    if (wish & RELAY_OVER)
        wire_end(w, w->relay.reset);
    else if (!w->gone)
        loop_change(w->stack->stacks->loop, &w->watch,
                    (wish & RELAY_IN ? EPOLLIN : 0) | (wish & RELAY_OUT ? EPOLLOUT : 0));
}

// A program that has the rings says nothing by its lifeline before the last copy is gone. A byte
// that it has left then asks for a reset.
static void on_lifeline(struct watch *watch, uint32_t events)
{
    struct wire *w = list_entry(watch, struct wire, watch);
    char byte;

    if (!w->relay.net) {
        wire_end(w, recv(watch->fd, &byte, 1, MSG_DONTWAIT) == 1);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR)) {
        w->gone = true;
        loop_remove(w->stack->stacks->loop, watch);
    }
    relay_on(w);
}

static void on_bell(struct watch *watch, uint32_t events)
{
    struct wire *w = list_entry(watch, struct wire, bell_watch);
    uint64_t count;

    if (read(watch->fd, &count, sizeof count) == sizeof count)
        relay_on(w);
}

static uint64_t cookie_of(int sock)
{
    uint64_t cookie = 0;
    socklen_t n = sizeof cookie;

    getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &n);
    return cookie;
}

// Makes lifeline and bell. The program's end, or -errno.
static int make_lifeline(struct wire *w)
{
    int pair[2], err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -errno;
    w->watch = (struct watch){pair[0], on_lifeline};
    w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = w->bell < 0 ? -errno : loop_add(w->stack->stacks->loop, &w->watch, 0);
    if (err) {
        close(pair[0]);
        close(pair[1]);
        w->watch.fd = -1;
        return err;
    }
    w->cookie = cookie_of(pair[1]);
    return pair[1];
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

static uint32_t take_options(Ctl__WireOption *const *said, size_t n, struct net_option *out)
{
    n = MIN(n, (size_t)OPTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct net_option){(enum tcp_option)said[i]->option, said[i]->value};
    return (uint32_t)n;
}

// The address that the program has bound sock to; both zero: none.
static void bound_to(int sock, struct ip_addr *ip, uint16_t *port)
{
    union cm_addr name = {0};
    socklen_t n = sizeof name;

    getsockname(sock, &name.sa, &n);
    route_ip(&name, ip, port);
}

// A port that the program has bound is its own already.
static int hold_port(struct wire *w, const struct ip_addr *local, uint16_t *port)
{
    struct net_ports *ports = w->stack->ports;
    int err = *port ? net_ports_share(ports, local, *port) : net_ports_take(ports, local, port);

    if (err)
        return err;
    w->local = *local;
    w->port = *port;
    return 0;
}

static int open_wire(struct wire *w, struct net_open *o, const char **what)
{
    struct net_path path;
    uint32_t sock;
    int err = net_path(w->stack->net, &o->remote, &o->local, &path);

    *what = "there is no way from this interface to the peer";
    if (err)
        return err;
    if (ip_addr_is_any(&o->local))
        o->local = path.source;
    *what = "the local port cannot be had";
    err = hold_port(w, &o->local, &o->local_port);
    if (err)
        return err;
    *what = "the stack cannot open the connection";
    err = net_open(w->stack->net, clock_now_ns() + LOCK_NS, o, &sock);
    if (!err)
        stack_add(w->stack, &w->user, sock);
    return err;
}

static void open_on(struct client *client, struct stack *s, struct net_open *o,
                    const Ctl__WireOpen *said)
{
    struct wire *w = wire_new(s);
    const char *what = "shuntd has no memory left";
    int fds[2], err = w ? 0 : -ENOMEM;

    if (!err) {
        fds[0] = make_lifeline(w);
        err = MIN(fds[0], 0);
    }
    if (!err)
        err = open_wire(w, o, &what);
    if (err) {
        refuse(client, err, what);
        if (w && w->watch.fd >= 0)
            close(fds[0]);
        if (w)
            wire_free(w);
        return;
    }
    fds[1] = w->bell;
    tell_stack(client, s, said->known, said->n_known);
    tell_socket(client, w, fds, 2);
    close(fds[0]);
    stack_turn(s);
}

static void on_open(struct client *client, const Ctl__WireOpen *said, struct packet *p)
{
    struct clients *cs = client->clients;
    struct net_option options[OPTIONS_MAX];
    struct net_open o = {.options = options};
    char interface[IF_NAMESIZE], why[WHY_BYTES];
    int sock = packet_take(p, 0), err;
    const char *reason = sock < 0 ? "no socket was passed" : check_socket(client, sock);
    union cm_addr remote;
    struct stack *s;

    packet_read_address(said->remote, &remote);
    o.option_count = take_options(said->options, said->n_options, options);
    if (!reason)
        bound_to(sock, &o.local, &o.local_port);
    if (sock >= 0)
        letgo(sock);
    if (!reason && !route_ip(&remote, &o.remote, &o.remote_port))
        reason = "the peer's address makes no sense";
    if (!reason)
        reason = route_to(&remote, &o.local, interface);
    if (reason) {
        refuse(client, -EINVAL, reason);
        return;
    }
    err = stack_get(cs->stacks, client->user, interface, &s, why, sizeof why);
    if (err)
        refuse(client, err, why);
    else
        open_on(client, s, &o, said);
}

// ---- listening ----

// Sends the connection of w to the program. 0, or -errno.
static int tell_accepted(const struct ears *ears, const struct wire *w, int lifeline)
{
    struct cm_accepted accepted = {w->stack->id, w->user.sock, 0};
    struct iovec iov = {&accepted, sizeof accepted};
    alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
    int fds[] = {lifeline, w->bell};

    *h = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(h), fds, sizeof fds);
    return sendmsg(ears->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

// A child that the listener has accepted. False: no more for now.
static bool hand_out(struct ears *ears, struct stack *s, uint32_t sock)
{
    struct wire *w = wire_new(s);
    int lifeline = w ? make_lifeline(w) : -ENOMEM, err = MIN(lifeline, 0);

    if (!err) {
        stack_add(s, &w->user, sock);
        err = tell_accepted(ears, w, lifeline);
        close(lifeline);
    }
    if (!err)
        return true;
    log_warn("an accepted connection is reset: %s", err_text(err));
    if (w && w->watch.fd >= 0)
        stack_remove(s, &w->user);
    net_request(s->net, clock_now_ns(), sock, NET_ABORT);
    if (w)
        wire_free(w);
    return false;
}

static bool has_room(struct ears *ears)
{
    struct pollfd p = {ears->watch.fd, POLLOUT, 0};

    if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT))
        return true;
    ears->full = true;
    loop_change(ears->loop, &ears->watch, EPOLLOUT);
    return false;
}

static void accept_all(struct wire *listener)
{
    struct stack *s = listener->stack;
    uint32_t sock;

    net_arm(s->net, listener->user.sock);
    while (!listener->ears->full && has_room(listener->ears)) {
        if (net_accept(s->net, clock_now_ns() + LOCK_NS, listener->user.sock, &sock))
            return;
        if (!hand_out(listener->ears, s, sock))
            return;
    }
}

static void on_accept(struct stack_user *user)
{
    accept_all(list_entry(user, struct wire, user));
}

static void listener_close(struct wire *w)
{
    struct stack *s = w->stack;

    stack_remove(s, &w->user);
    net_request(s->net, clock_now_ns(), w->user.sock, NET_CLOSE);
    wire_free(w);
    stack_turn(s);
}

static void ears_close(struct ears *ears)
{
    while (!list_empty(&ears->wires))
        listener_close(list_entry(ears->wires.next, struct wire, of_ears));
    loop_remove(ears->loop, &ears->watch);
    close(ears->watch.fd);
    free(ears);
}

static void on_ears(struct watch *watch, uint32_t events)
{
    struct ears *ears = list_entry(watch, struct ears, watch);

    if (events & (EPOLLHUP | EPOLLERR)) {
        ears_close(ears);
        return;
    }
    ears->full = false;
    loop_change(ears->loop, watch, 0);
    list_for_each (it, &ears->wires)
        accept_all(list_entry(it, struct wire, of_ears));
}

// The listener of the stack dies with it; the others, and the kernel's, go on.
static int listen_on(struct ears *ears, struct stack *s, const struct net_open *o, uint32_t backlog)
{
    struct ip_addr local = o->local;
    uint16_t port = o->local_port;
    struct wire *w = wire_new(s);
    uint32_t sock;
    int err = w ? net_listen(s->net, clock_now_ns() + LOCK_NS, o, backlog, &sock) : -ENOMEM;

    if (err) {
        if (w)
            wire_free(w);
        return err;
    }
    w->ears = ears;
    w->user.woken = on_accept;
    stack_add(s, &w->user, sock);
    list_add_tail(&ears->wires, &w->of_ears);
    err = hold_port(w, &local, &port);
    if (err)
        listener_close(w);
    else
        net_arm(s->net, sock);
    stack_turn(s);
    return err;
}

struct listening {
    struct client *client;
    struct ears *ears;
    struct net_open *open;
    uint32_t backlog;
    int err;
    char why[WHY_BYTES];
};

static void listen_by(void *arg, const char *interface)
{
    struct listening *l = arg;
    struct clients *cs = l->client->clients;
    struct stack *s;

    l->err = stack_get(cs->stacks, l->client->user, interface, &s, l->why, sizeof l->why);
    if (l->err)
        return;
    snprintf(l->why, sizeof l->why, "the stack of %s cannot listen there", interface);
    l->err = listen_on(l->ears, s, l->open, l->backlog);
}

static struct ears *ears_new(struct clients *cs, int fd)
{
    struct ears *ears = calloc(1, sizeof *ears);

    if (!ears)
        return NULL;
    *ears = (struct ears){.watch = {fd, on_ears}, .loop = cs->loop};
    list_init(&ears->wires);
    if (loop_add(cs->loop, &ears->watch, 0)) {
        free(ears);
        return NULL;
    }
    return ears;
}

static void listen_everywhere(struct client *client, struct net_open *o, uint32_t backlog,
                              int ears_fd)
{
    Ctl__WireSocket none = CTL__WIRE_SOCKET__INIT;
    struct listening l = {.client = client, .open = o, .backlog = backlog, .err = -ENODEV};
    Ctl__Envelope msg;

    snprintf(l.why, sizeof l.why, "no interface for that address has a queue");
    l.ears = ears_new(client->clients, ears_fd);
    if (!l.ears) {
        close(ears_fd);
        refuse(client, -ENOMEM, "shuntd has no memory left");
        return;
    }
    route_each_interface(&o->local, listen_by, &l);
    if (list_empty(&l.ears->wires)) {
        ears_close(l.ears);
        refuse(client, l.err, l.why);
        return;
    }
    list_for_each (it, &l.ears->wires)
        tell_stack(client, list_entry(it, struct wire, of_ears)->stack, NULL, 0);
    PACKET_INIT(&msg, WIRE_SOCKET, wire_socket, &none);
    client_send(client, &msg, NULL, 0);
}

static void on_listen(struct client *client, const Ctl__WireListen *said, struct packet *p)
{
    struct net_option options[OPTIONS_MAX];
    struct net_open o = {.options = options};
    int sock = packet_take(p, 0), ears = packet_take(p, 1);
    const char *reason =
        sock < 0 || ears < 0 ? "no sockets were passed" : check_socket(client, sock);

    o.option_count = take_options(said->options, said->n_options, options);
    if (!reason)
        bound_to(sock, &o.local, &o.local_port);
    if (!reason && !o.local_port)
        reason = "the socket is not bound";
    if (sock >= 0)
        letgo(sock);
    if (!reason) {
        listen_everywhere(client, &o, said->backlog, ears);
        return;
    }
    if (ears >= 0)
        letgo(ears);
    refuse(client, -EINVAL, reason);
}

// ---- other processes ----

static struct wire *wire_of(struct client *client, uint64_t cookie)
{
    list_for_each (it, &client->clients->stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (s->user != client->user)
            continue;
        list_for_each (at, &s->users) {
            struct wire *w = list_entry(list_entry(at, struct stack_user, link), struct wire, user);

            if (cookie && w->cookie == cookie)
                return w;
        }
    }
    return NULL;
}

static void on_share(struct client *client, const Ctl__WireShare *said, struct packet *p)
{
    struct wire *w = wire_of(client, said->cookie);
    int fd = w ? packet_take(p, 0) : -1;

    if (fd < 0)
        return;
    if (w->chunk_fd >= 0)
        close(w->chunk_fd);
    w->chunk_fd = fd;
    w->chunk_slot = said->chunk_slot;
}

static void on_attach(struct client *client, const Ctl__WireAttach *said, struct packet *p)
{
    int sock = packet_take(p, 0);
    struct wire *w =
        sock >= 0 && cookie_of(sock) == said->cookie ? wire_of(client, said->cookie) : NULL;

    if (sock >= 0)
        letgo(sock);
    if (!w || w->chunk_fd < 0) {
        refuse(client, -ENOENT, "that is no connection of ours");
        return;
    }
    tell_stack(client, w->stack, said->known, said->n_known);
    tell_socket(client, w, (int[]){w->bell, w->chunk_fd}, 2);
}

static void on_relay(struct client *client, const Ctl__WireRelay *said)
{
    struct wire *w = wire_of(client, said->cookie);
    Ctl__WireSocket done = CTL__WIRE_SOCKET__INIT;
    Ctl__Envelope msg;
    int err = w ? 0 : -ENOENT;

    if (w && !w->relay.net) {
        w->bell_watch = (struct watch){w->bell, on_bell};
        err = loop_add(client->clients->loop, &w->bell_watch, EPOLLIN);
        if (!err)
            relay_begin(&w->relay, w->stack->net, w->user.sock, w->watch.fd);
    }
    if (err) {
        refuse(client, err, "that is no connection of ours");
        return;
    }
    w->relay.reset = said->hard;
    relay_on(w);
    PACKET_INIT(&msg, WIRE_SOCKET, wire_socket, &done);
    client_send(client, &msg, NULL, 0);
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
