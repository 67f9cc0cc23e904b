// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/lifeline.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/util.h"
#include "cm/accepted.h"
#include "daemon/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOCK_NS (500 * NS_PER_MS) // a program that drives has let go of the stack by then

// One connection, or one listener.
struct wire {
    struct list link; // in keeper.wires or keeper.grave
    struct keeper *keeper;
    uint32_t sock;
    struct watch watch;   // our end of the lifeline; of a listener: the ears
    int bell;             // -1: a listener
    struct list kin;      // listeners on one address (SO_REUSEPORT) share a socket of the stack
    bool full;            // a listener whose program does not take connections as fast as they come
    uint64_t cookie;      // SO_COOKIE of the program's end
    struct ip_addr local; // with port what shuntd holds for it
    uint16_t port;        // 0: nothing
    int chunk_fd;         // where the program keeps its state, if it has told
    uint32_t chunk_slot;
    struct relay relay;      // where the program has let go of the rings
    struct watch bell_watch; // only then
    bool gone;               // the last copy of the lifeline is closed, and not all is sent yet
};

static struct wire *wire_new(struct keeper *k)
{
    struct wire *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    *w = (struct wire){.keeper = k, .sock = NET_NONE, .bell = -1, .chunk_fd = -1, .watch.fd = -1};
    list_init(&w->link);
    list_init(&w->kin);
    return w;
}

static void wire_joins(struct wire *w, uint32_t sock)
{
    w->sock = sock;
    w->keeper->by_sock[sock] = w;
    list_add_tail(&w->keeper->wires, &w->link);
}

static void tell_letgo(const struct wire *w)
{
    const struct keep_msg m = {.kind = KEEP_LETGO,
                               .ask = {.local = w->local, .local_port = w->port}};

    keeper_tell(w->keeper, &m, NULL, 0);
}

// Its memory stays until no event of this round can name it any more.
static void wire_free(struct wire *w)
{
    struct keeper *k = w->keeper;

    if (w->sock != NET_NONE && k->by_sock[w->sock] == w)
        k->by_sock[w->sock] = NULL;
    if (w->relay.net)
        loop_remove(&k->loop, &w->bell_watch);
    w->bell_watch.fd = -1;
    if (w->watch.fd >= 0) {
        if (!w->gone)
            loop_remove(&k->loop, &w->watch);
        close(w->watch.fd);
        w->watch.fd = -1;
    }
    if (w->bell >= 0)
        close(w->bell);
    if (w->chunk_fd >= 0)
        close(w->chunk_fd);
    list_del(&w->link);
    list_add_tail(&k->grave, &w->link);
}

void lifelines_bury(struct keeper *k)
{
    list_for_each_safe (it, &k->grave)
        free(list_entry(it, struct wire, link));
    list_init(&k->grave);
}

// Nothing more is wanted of its socket of the stack.
static void wire_end(struct wire *w, uint32_t request)
{
    struct keeper *k = w->keeper;

    if (list_empty(&w->kin))
        net_request(k->net, clock_now_ns(), w->sock, request);
    else
        k->by_sock[w->sock] = list_entry(w->kin.prev, struct wire, kin);
    list_del(&w->kin);
    if (w->port)
        tell_letgo(w);
}

// The program lets go of it.
static void wire_close(struct wire *w, uint32_t request)
{
    struct keeper *k = w->keeper;

    if (w->sock != NET_NONE)
        wire_end(w, request);
    wire_free(w);
    keeper_turn(k);
}

// ---- lifelines ----

static void relay_on(struct wire *w)
{
    unsigned wish = relay_turn(&w->relay, w->gone);

    if (wish & RELAY_OVER)
        wire_close(w, w->relay.reset ? NET_ABORT : NET_CLOSE);
    else if (!w->gone)
        loop_change(&w->keeper->loop, &w->watch,
                    (wish & RELAY_IN ? EPOLLIN : 0) | (wish & RELAY_OUT ? EPOLLOUT : 0));
}

// A program that has the rings says nothing by its lifeline before the last copy is gone. A byte
// that it has left then asks for a reset.
static void on_lifeline(struct watch *watch, uint32_t events)
{
    struct wire *w = list_entry(watch, struct wire, watch);
    char byte;

    if (!w->relay.net) {
        wire_close(w, recv(watch->fd, &byte, 1, MSG_DONTWAIT) == 1 ? NET_ABORT : NET_CLOSE);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR)) {
        w->gone = true;
        loop_remove(&w->keeper->loop, watch);
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

// Makes lifeline and bell. The program's end, or -errno.
static int make_lifeline(struct wire *w)
{
    int pair[2], err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -errno;
    w->watch = (struct watch){pair[0], on_lifeline};
    w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = w->bell < 0 ? -errno : loop_add(&w->keeper->loop, &w->watch, 0);
    if (err) {
        close(pair[0]);
        close(pair[1]);
        w->watch.fd = -1;
        return err;
    }
    w->cookie = sys_cookie(pair[1]);
    return pair[1];
}

static void ring(const struct wire *w)
{
    static const uint64_t one = 1;

    if (write(w->bell, &one, sizeof one) < 0 && errno != EAGAIN)
        log_warn("a bell cannot be rung: %s", strerror(errno));
}

// ---- answers ----

static void tell_done(struct keeper *k, int err, const char *why)
{
    struct keep_msg m = {.kind = KEEP_DONE, .done.error = err};

    snprintf(m.done.why, sizeof m.done.why, "%s", why);
    keeper_tell(k, &m, NULL, 0);
}

static void tell_socket(const struct wire *w, int fd, int other_fd)
{
    const struct keep_msg m = {.kind = KEEP_DONE,
                               .done = {.sock = w->sock, .chunk_slot = w->chunk_slot}};

    keeper_tell(w->keeper, &m, (int[]){fd, other_fd}, 2);
}

// ---- connecting ----

static struct net_open open_of(const struct keep_ask *ask)
{
    return (struct net_open){.local = ask->local,
                             .remote = ask->remote,
                             .local_port = ask->local_port,
                             .remote_port = ask->remote_port,
                             .options = ask->option,
                             .option_count = ask->option_count};
}

void lifeline_open(struct keeper *k, const struct keep_ask *ask)
{
    const struct net_open o = open_of(ask);
    struct wire *w = wire_new(k);
    int lifeline = w ? make_lifeline(w) : -ENOMEM, err = MIN(lifeline, 0);
    uint32_t sock;

    if (!err)
        err = net_open(k->net, clock_now_ns() + LOCK_NS, &o, &sock);
    if (!err) {
        wire_joins(w, sock);
        w->local = ask->local;
        w->port = ask->local_port;
        tell_socket(w, lifeline, w->bell);
    } else {
        tell_done(k, err, "the stack cannot open the connection");
    }
    if (lifeline >= 0)
        close(lifeline);
    if (err && w)
        wire_free(w);
    keeper_turn(k);
}

// ---- listening ----

// Sends the connection of w to the program. 0, or -errno.
static int tell_accepted(const struct wire *listener, const struct wire *w, int lifeline)
{
    struct cm_accepted accepted = {w->keeper->setup.stack, w->sock, 0};
    struct iovec iov = {&accepted, sizeof accepted};
    alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
    int fds[] = {lifeline, w->bell};

    *h = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(h), fds, sizeof fds);
    return sendmsg(listener->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

// A child that the listener has accepted. False: no more for now.
static bool hand_out(struct wire *listener, uint32_t sock)
{
    struct keeper *k = listener->keeper;
    struct wire *w = wire_new(k);
    int lifeline = w ? make_lifeline(w) : -ENOMEM, err = MIN(lifeline, 0);

    if (!err) {
        wire_joins(w, sock);
        err = tell_accepted(listener, w, lifeline);
        close(lifeline);
    }
    if (!err)
        return true;
    log_warn("an accepted connection is reset: %s", err_text(err));
    net_request(k->net, clock_now_ns(), sock, NET_ABORT);
    if (w)
        wire_free(w);
    return false;
}

static bool has_room(struct wire *listener)
{
    struct pollfd p = {listener->watch.fd, POLLOUT, 0};

    if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT))
        return true;
    listener->full = true;
    loop_change(&listener->keeper->loop, &listener->watch, EPOLLIN | EPOLLOUT);
    return false;
}

// Whose turn it is after last; NULL: nobody has room.
static struct wire *next_turn(struct wire *last)
{
    struct wire *w = last;

    do {
        w = list_entry(w->kin.next, struct wire, kin);
        if (!w->full && has_room(w))
            return w;
    } while (w != last);
    return NULL;
}

// Hands out what has been accepted, until there is no more. last: of those that share the listener,
// the one that got a connection last.
static void accept_each(struct wire *last)
{
    struct keeper *k = last->keeper;
    struct wire *w;
    uint32_t sock;
    int err;

    net_arm(k->net, last->sock);
    while ((w = next_turn(last)) != NULL) {
        err = net_accept(k->net, clock_now_ns() + LOCK_NS, last->sock, &sock);
        k->late |= err == -ETIMEDOUT;
        if (err)
            return;
        k->by_sock[w->sock] = w;
        last = w;
        if (!hand_out(w, sock))
            return;
    }
}

// A call of accept_all(); outer: the one within which it happens.
struct accepting {
    struct accepting *outer;
    uint32_t sock;
    bool again;
};

// net_accept() may drive the stack, and that wake the listener for the next connection: which has
// to wait until this one is handed out.
static void accept_all(struct wire *listener)
{
    struct keeper *k = listener->keeper;
    struct accepting now = {k->accepting, listener->sock, true};

    for (struct accepting *a = k->accepting; a; a = a->outer) {
        if (a->sock == now.sock) {
            a->again = true;
            return;
        }
    }
    k->accepting = &now;
    while (now.again) {
        now.again = false;
        accept_each(k->by_sock[now.sock]);
    }
    k->accepting = now.outer;
}

void lifelines_accept_late(struct keeper *k)
{
    if (!k->late)
        return;
    k->late = false;
    list_for_each (it, &k->wires) {
        struct wire *w = list_entry(it, struct wire, link);

        if (w->bell < 0 && w->sock != NET_NONE)
            accept_all(w);
    }
}

// A process of the program wants no more by its ears, and has none in the kernel's place: what was
// accepted till now is handed out. The byte is read last, for that process waits until it is.
static void stop(struct wire *w)
{
    struct keeper *k = w->keeper;
    char byte;

    if (w->sock != NET_NONE) {
        accept_all(k->by_sock[w->sock]);
        wire_end(w, NET_CLOSE);
        if (k->by_sock[w->sock] == w)
            k->by_sock[w->sock] = NULL;
        w->sock = NET_NONE;
        w->port = 0;
        keeper_turn(k);
    }
    while (recv(w->watch.fd, &byte, 1, MSG_DONTWAIT) > 0)
        ;
}

static void on_ears(struct watch *watch, uint32_t events)
{
    struct wire *w = list_entry(watch, struct wire, watch);

    if (events & (EPOLLHUP | EPOLLERR)) {
        wire_close(w, NET_CLOSE);
        return;
    }
    if (events & EPOLLIN)
        stop(w);
    w->full = false;
    loop_change(&w->keeper->loop, watch, EPOLLIN);
    if (w->sock != NET_NONE)
        accept_all(w->keeper->by_sock[w->sock]);
}

void lifeline_woken(struct wire *w)
{
    if (w->bell >= 0)
        ring(w);
    else
        accept_all(w);
}

static struct wire *listener_at(struct keeper *k, const struct ip_addr *local, uint16_t port)
{
    list_for_each (it, &k->wires) {
        struct wire *w = list_entry(it, struct wire, link);

        if (w->bell < 0 && w->sock != NET_NONE && w->port == port &&
            ip_addr_equal(&w->local, local))
            return w;
    }
    return NULL;
}

// w gets the ears. Where there is a listener already, the kernel has seen to it that this one may
// share it. 0 or -errno.
static int listen_by(struct wire *w, const struct keep_ask *ask, int ears)
{
    const struct net_open o = open_of(ask);
    struct wire *kin = listener_at(w->keeper, &ask->local, ask->local_port);
    uint32_t sock = kin ? kin->sock : NET_NONE;
    int err;

    if (ears < 0)
        return -EMFILE;
    w->watch = (struct watch){ears, on_ears};
    err = loop_add(&w->keeper->loop, &w->watch, EPOLLIN);
    if (!err && !kin)
        err = net_listen(w->keeper->net, clock_now_ns() + LOCK_NS, &o, ask->backlog, &sock);
    if (err)
        return err;
    if (kin)
        list_add_tail(&kin->kin, &w->kin);
    wire_joins(w, sock);
    w->local = ask->local;
    w->port = ask->local_port;
    return 0;
}

void lifeline_listen(struct keeper *k, const struct keep_ask *ask, int ears)
{
    struct wire *w = wire_new(k);
    int err = w ? listen_by(w, ask, ears) : -ENOMEM;

    if (err && w)
        wire_free(w);
    else if (err)
        close(ears);
    tell_done(k, err, err ? "the stack cannot listen there" : "");
    if (!err)
        accept_all(w);
    keeper_turn(k);
}

// ---- other processes ----

static struct wire *wire_of(struct keeper *k, uint64_t cookie)
{
    list_for_each (it, &k->wires) {
        struct wire *w = list_entry(it, struct wire, link);

        if (cookie && w->cookie == cookie)
            return w;
    }
    return NULL;
}

bool lifeline_share(struct keeper *k, const struct keep_ask *ask, int chunk_fd)
{
    struct wire *w = wire_of(k, ask->cookie);

    if (!w)
        return false;
    if (w->chunk_fd >= 0)
        close(w->chunk_fd);
    w->chunk_fd = chunk_fd;
    w->chunk_slot = ask->chunk_slot;
    return true;
}

void lifeline_attach(struct keeper *k, uint64_t cookie)
{
    struct wire *w = wire_of(k, cookie);

    if (!w || w->chunk_fd < 0)
        tell_done(k, -ENOENT, "that is no connection of ours");
    else
        tell_socket(w, w->bell, w->chunk_fd);
}

void lifeline_relay(struct keeper *k, const struct keep_ask *ask)
{
    struct wire *w = wire_of(k, ask->cookie);
    int err = w && w->bell >= 0 ? 0 : -ENOENT;

    if (!err && !w->relay.net) {
        w->bell_watch = (struct watch){w->bell, on_bell};
        err = loop_add(&k->loop, &w->bell_watch, EPOLLIN);
        if (!err)
            relay_begin(&w->relay, k->net, w->sock, w->watch.fd);
    }
    if (!err) {
        w->relay.reset = ask->hard;
        relay_on(w); // first: the program is to find in the lifeline what was in the ring
    }
    tell_done(k, err, err ? "that is no connection of ours" : "");
}
