// SPDX-License-Identifier: BSD-2-Clause
#include "cm/wire.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/util.h"
#include "cm/accepted.h"
#include "cm/cm.h"
#include "cm/packet.h"
#include "cm/uplink.h"
#include "lane/tcp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define STACKS_MAX   8
#define STOP_LOOK_NS (200 * NS_PER_US)

_Static_assert(CM_WIRE_CORK == (int)TCP_SET_CORK && CM_WIRE_TOS == (int)TCP_SET_TOS &&
                   CM_WIRE_USER_TIMEOUT_MS == (int)TCP_SET_USER_TIMEOUT_MS,
               "one order of options");
_Static_assert(CM_WIRE_CONNECTED == (int)NET_CONNECTED && CM_WIRE_FIN == (int)NET_FIN &&
                   CM_WIRE_CLOSED == (int)NET_CLOSED && CM_WIRE_URGENT == (int)NET_URGENT,
               "one set of bits");

// What shuntd tells before an answer: a stack that is new to us, a part at a time.
struct arrival {
    struct tcp_lane_parts parts;
    uint32_t queue_fds; // that are to come
    bool any;
};

static struct {
    struct uplink up;
    struct packet packet;
    struct arrival arrival;
} wire = {.up.sock = -1};

void cm_wire_init(const char *daemon_socket)
{
    wire.up.daemon_socket = daemon_socket;
}

// ---- the connection ----

void cm_wire_forked(void)
{
    uplink_forget(&wire.up);
    tcp_lane_forked();
}

int cm_wire_mute(void)
{
    return uplink_mute(&wire.up);
}

bool cm_wire_owns_fd(int fd)
{
    return fd >= 0 && (uplink_owns_fd(&wire.up, fd) || tcp_lane_owns_fd(fd));
}

bool cm_wire_is_fixed(int fd)
{
    return tcp_lane_owns_fd(fd);
}

void cm_wire_moved(int oldfd, int newfd)
{
    uplink_moved(&wire.up, oldfd, newfd);
}

static int be_connected(void)
{
    int err;

    if (uplink_is_ours(&wire.up))
        return 0;
    err = uplink_open(&wire.up);
    return err ? err : uplink_hello(wire.up.sock);
}

// ---- stacks ----

static void close_fd(int *fd)
{
    if (*fd >= 0)
        sys_close(*fd);
    *fd = -1;
}

static void forget_arrival(void)
{
    struct tcp_lane_parts *p = &wire.arrival.parts;

    if (!wire.arrival.any)
        return;
    close_fd(&p->arena);
    close_fd(&p->owner_bell);
    for (int i = 0; i < p->queue.desc.fd_count; i++)
        close_fd(&p->queue.fd[i]);
    wire.arrival.any = false;
}

static int take_up(int i)
{
    int fd = packet_take(&wire.packet, i);

    return fd < 0 ? fd : cm_fd_up(fd);
}

static void attach_arrival(void)
{
    struct arrival *a = &wire.arrival;
    int err;

    if (a->queue_fds || !a->any)
        return;
    err = tcp_lane_attach(&a->parts);
    if (err) {
        log_warn("a stack cannot be joined: %s", err_text(err));
        forget_arrival();
    }
    a->any = false;
}

static void on_stack(const Ctl__WireStack *said)
{
    struct arrival *a = &wire.arrival;

    forget_arrival();
    if (said->queue.len != sizeof a->parts.queue.desc || said->queue_fds > QUEUE_FDS_MAX ||
        wire.packet.n_fds < 2)
        return;
    *a = (struct arrival){.any = true, .queue_fds = said->queue_fds, .parts.id = said->id};
    memcpy(&a->parts.queue.desc, said->queue.data, said->queue.len);
    for (int i = 0; i < QUEUE_FDS_MAX; i++)
        a->parts.queue.fd[i] = -1;
    a->parts.arena = take_up(0);
    a->parts.owner_bell = take_up(1);
    if (a->parts.queue.desc.fd_count != said->queue_fds)
        forget_arrival();
    attach_arrival();
}

static void on_grant(const Ctl__WireGrant *said)
{
    struct arrival *a = &wire.arrival;
    struct queue_grant *q = &a->parts.queue;

    if (!a->any || said->stack != a->parts.id)
        return;
    for (int i = 0; i < wire.packet.n_fds && a->queue_fds; i++)
        q->fd[q->desc.fd_count - a->queue_fds--] = take_up(i);
    attach_arrival();
}

// ---- questions ----

static int on_refused(const Ctl__WireRefused *said, char why[CM_WIRE_WHY_BYTES])
{
    snprintf(why, CM_WIRE_WHY_BYTES, "%s", said->reason);
    return said->error ? -said->error : -EPROTO;
}

// Receives until there is an answer, which stays in wire.packet. 0, or -errno with why.
static int answer(uint64_t deadline_ns, char why[CM_WIRE_WHY_BYTES])
{
    for (;;) {
        int err = packet_recv(wire.up.sock, &wire.packet);
        const Ctl__Envelope *msg = wire.packet.msg;

        if (err == -EAGAIN && !(err = packet_wait(wire.up.sock, POLLIN, deadline_ns)))
            continue;
        if (err)
            return err;
        if (msg->body_case == CTL__ENVELOPE__BODY_WIRE_SOCKET)
            return 0;
        if (msg->body_case == CTL__ENVELOPE__BODY_WIRE_REFUSED)
            return on_refused(msg->wire_refused, why);
        if (msg->body_case == CTL__ENVELOPE__BODY_WIRE_STACK)
            on_stack(msg->wire_stack);
        else if (msg->body_case == CTL__ENVELOPE__BODY_WIRE_GRANT)
            on_grant(msg->wire_grant);
        packet_close_fds(&wire.packet);
    }
}

static bool is_lost(int err)
{
    return err == -EPIPE || err == -ECONNRESET || err == -ETIMEDOUT || err == -EBADMSG ||
           err == -ENOTCONN || err == -EBADF;
}

// An answer that came too late would be taken for the next one: the connection ends with it.
static int ask(const Ctl__Envelope *msg, const int *fds, int n_fds, uint64_t deadline_ns,
               char why[CM_WIRE_WHY_BYTES])
{
    int err = be_connected();

    snprintf(why, CM_WIRE_WHY_BYTES, "no shuntd answers");
    if (!err)
        err = packet_send(wire.up.sock, msg, fds, n_fds);
    if (!err)
        err = answer(deadline_ns, why);
    if (is_lost(err))
        uplink_close(&wire.up);
    forget_arrival();
    return err;
}

// ---- sockets ----

static int join(uint64_t stack, uint32_t sock, int bell, struct chan *chan)
{
    struct tcp_lane *lane = tcp_lane_of(stack);
    int err = !lane ? -ENOTCONN : bell < 0 ? -EMFILE : tcp_lane_join(lane, sock, bell, chan);

    if (err && bell >= 0)
        sys_close(bell);
    return err;
}

static void fill_options(const struct cm_wire_options *from, Ctl__WireOption *said,
                         Ctl__WireOption **list)
{
    for (uint32_t i = 0; i < from->n; i++) {
        ctl__wire_option__init(&said[i]);
        said[i].option = (uint32_t)from->at[i].option;
        said[i].value = from->at[i].value;
        list[i] = &said[i];
    }
}

int cm_wire_open(int sock, const union cm_addr *remote, const struct cm_wire_options *options,
                 uint64_t deadline_ns, struct chan *chan, int *lifeline,
                 char why[CM_WIRE_WHY_BYTES])
{
    Ctl__WireOpen open = CTL__WIRE_OPEN__INIT;
    Ctl__WireOption said[CM_WIRE_OPTIONS], *list[CM_WIRE_OPTIONS];
    uint64_t known[STACKS_MAX];
    Ctl__Address address;
    Ctl__Envelope msg;
    int err;

    packet_address(remote, &address);
    fill_options(options, said, list);
    open.remote = &address;
    open.options = list;
    open.n_options = options->n;
    open.known = known;
    open.n_known = tcp_lane_ids(known, STACKS_MAX);
    PACKET_INIT(&msg, WIRE_OPEN, wire_open, &open);
    err = ask(&msg, &sock, 1, deadline_ns, why);
    if (err)
        return err;
    *lifeline = packet_take(&wire.packet, 0);
    err = *lifeline < 0 ? -EMFILE
                        : join(wire.packet.msg->wire_socket->stack,
                               wire.packet.msg->wire_socket->socket, take_up(1), chan);
    if (err) {
        snprintf(why, CM_WIRE_WHY_BYTES, "the stack cannot be joined: %s", err_text(err));
        close_fd(lifeline);
    }
    packet_close_fds(&wire.packet);
    return err;
}

int cm_wire_listen(int sock, uint32_t backlog, const struct cm_wire_options *options,
                   uint64_t deadline_ns, int *ears, char why[CM_WIRE_WHY_BYTES])
{
    Ctl__WireListen listen = CTL__WIRE_LISTEN__INIT;
    Ctl__WireOption said[CM_WIRE_OPTIONS], *list[CM_WIRE_OPTIONS];
    uint64_t known[STACKS_MAX];
    Ctl__Envelope msg;
    int pair[2], err;

    err = (int)sys_call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                        pair);
    if (err)
        return err;
    fill_options(options, said, list);
    listen.backlog = backlog;
    listen.options = list;
    listen.n_options = options->n;
    listen.known = known;
    listen.n_known = tcp_lane_ids(known, STACKS_MAX);
    PACKET_INIT(&msg, WIRE_LISTEN, wire_listen, &listen);
    err = ask(&msg, (int[]){sock, pair[1]}, 2, deadline_ns, why);
    sys_close(pair[1]);
    if (err)
        sys_close(pair[0]);
    else
        *ears = cm_fd_up(pair[0]);
    packet_close_fds(&wire.packet);
    return err;
}

// A packet whose descriptors find no numbers loses them: it stays where it is until there are some.
// The byte is read when it is done.
void cm_wire_stop(int ears, uint64_t deadline_ns)
{
    struct pollfd p = {ears, 0, 0};
    struct timespec ts;
    int unread = 0;

    if (sys_call(SYS_sendto, ears, "S", 1, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0) < 0)
        return;
    do {
        ts = (struct timespec){0, STOP_LOOK_NS};
        if (sys_ioctl(ears, SIOCOUTQ, &unread) || !unread)
            return;
    } while (sys_call(SYS_ppoll, &p, 1, &ts, 0, 8) == 0 && clock_now_ns() < deadline_ns);
}

bool cm_wire_is_deaf(int ears)
{
    char byte;

    return sys_call(SYS_recvfrom, ears, &byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0) == 0;
}

static int has_numbers(int ears)
{
    int a = (int)sys_fcntl(ears, F_DUPFD_CLOEXEC, 0);
    int b = a < 0 ? a : (int)sys_fcntl(ears, F_DUPFD_CLOEXEC, 0);

    close_fd(&a);
    if (b < 0)
        return -EMFILE;
    close_fd(&b);
    return 0;
}

static int can_hear(int ears)
{
    char byte;
    long n = sys_call(SYS_recvfrom, ears, &byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0);

    if (n <= 0)
        return n ? (int)n : -EPIPE;
    return has_numbers(ears);
}

// Receives one packet of the ears. 0 or -errno.
static int hear(int ears, struct cm_accepted *accepted, int fds[2])
{
    struct iovec iov = {accepted, sizeof *accepted};
    alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    long n = sys_call(SYS_recvmsg, ears, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    size_t n_fds = h ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

    fds[0] = fds[1] = -1;
    if (n < 0)
        return (int)n;
    if (n == 0)
        return -EPIPE;
    memcpy(fds, CMSG_DATA(h), MIN(n_fds, (size_t)2) * sizeof(int));
    if (n == sizeof *accepted && n_fds == 2)
        return 0;
    close_fd(&fds[0]);
    return -EMFILE;
}

int cm_wire_accept(int ears, struct chan *chan, int *lifeline)
{
    struct cm_accepted accepted;
    int fds[2], err = can_hear(ears);

    if (!err)
        err = hear(ears, &accepted, fds);
    if (err)
        return err;
    err = join(accepted.stack, accepted.sock, cm_fd_up(fds[1]), chan);
    if (err)
        sys_close(fds[0]); // and so it is reset
    else
        *lifeline = fds[0];
    return err;
}

int cm_wire_share(int lifeline, int chunk_fd, uint32_t chunk_slot, uint64_t deadline_ns)
{
    Ctl__WireShare share = CTL__WIRE_SHARE__INIT;
    char why[CM_WIRE_WHY_BYTES];
    Ctl__Envelope msg;
    int err;

    share.cookie = sys_cookie(lifeline);
    share.chunk_slot = chunk_slot;
    PACKET_INIT(&msg, WIRE_SHARE, wire_share, &share);
    err = ask(&msg, &chunk_fd, 1, deadline_ns, why);
    packet_close_fds(&wire.packet);
    return err;
}

int cm_wire_relay(int lifeline, bool hard, uint64_t deadline_ns)
{
    Ctl__WireRelay relay = CTL__WIRE_RELAY__INIT;
    char why[CM_WIRE_WHY_BYTES];
    Ctl__Envelope msg;
    int err;

    relay.cookie = sys_cookie(lifeline);
    relay.hard = hard;
    PACKET_INIT(&msg, WIRE_RELAY, wire_relay, &relay);
    err = ask(&msg, NULL, 0, deadline_ns, why);
    packet_close_fds(&wire.packet);
    return err;
}

int cm_wire_attach(int sock, uint64_t deadline_ns, struct chan *chan, int *chunk_fd,
                   uint32_t *chunk_slot)
{
    Ctl__WireAttach attach = CTL__WIRE_ATTACH__INIT;
    char why[CM_WIRE_WHY_BYTES];
    uint64_t known[STACKS_MAX];
    Ctl__Envelope msg;
    int err;

    attach.cookie = sys_cookie(sock);
    attach.known = known;
    attach.n_known = tcp_lane_ids(known, STACKS_MAX);
    PACKET_INIT(&msg, WIRE_ATTACH, wire_attach, &attach);
    err = ask(&msg, &sock, 1, deadline_ns, why);
    if (err)
        return err;
    *chunk_slot = wire.packet.msg->wire_socket->chunk_slot;
    err = join(wire.packet.msg->wire_socket->stack, wire.packet.msg->wire_socket->socket,
               take_up(0), chan);
    *chunk_fd = err ? -1 : take_up(1);
    packet_close_fds(&wire.packet);
    return err;
}

void cm_wire_move(struct chan *from, struct chan *to)
{
    tcp_lane_move(from, to);
}

void cm_wire_deaf(const struct chan *chan)
{
    tcp_lane_deaf(chan);
}

void cm_wire_leave(struct chan *chan)
{
    tcp_lane_leave(chan);
    sys_close(chan->bell);
    chan_unmap(chan);
}

// ---- of a channel ----

uint32_t cm_wire_status(const struct chan *chan)
{
    return net_status(tcp_lane_net(chan), tcp_lane_sock(chan));
}

int cm_wire_error(const struct chan *chan)
{
    return net_error(tcp_lane_net(chan), tcp_lane_sock(chan));
}

void cm_wire_arm(const struct chan *chan)
{
    net_arm(tcp_lane_net(chan), tcp_lane_sock(chan));
}

static void request(const struct chan *chan, uint32_t what)
{
    net_request(tcp_lane_net(chan), clock_now_ns(), tcp_lane_sock(chan), what);
}

void cm_wire_shut_tx(const struct chan *chan)
{
    request(chan, NET_SHUT_TX);
}

void cm_wire_shut_rx(const struct chan *chan)
{
    request(chan, NET_SHUT_RX);
}

void cm_wire_end(const struct chan *chan, bool hard)
{
    request(chan, hard ? NET_RESET : NET_END);
}

void cm_wire_urgent(const struct chan *chan, uint32_t ahead)
{
    net_urgent(tcp_lane_net(chan), clock_now_ns() + NS_PER_S, tcp_lane_sock(chan), ahead);
}

int cm_wire_congestion(const char *name)
{
    return tcp_cc_named(name);
}

int cm_wire_set(const struct chan *chan, enum cm_wire_option option, uint64_t value)
{
    return net_set(tcp_lane_net(chan), clock_now_ns() + NS_PER_S, tcp_lane_sock(chan),
                   (enum tcp_option)option, value);
}

static void fill_address(const struct ip_addr *ip, uint16_t port, int family, union cm_addr *out)
{
    memset(out, 0, sizeof *out);
    out->sa.sa_family = (sa_family_t)family;
    out->in.sin_port = htons(port); // at the same place in both
    if (family == AF_INET)
        out->in.sin_addr.s_addr = ip->w[3];
    else
        memcpy(&out->in6.sin6_addr, ip->b, sizeof ip->b);
}

// tcp(7) counts states from 1, in an order of its own (include/net/tcp_states.h).
static uint8_t linux_state(enum tcp_state s)
{
    static const uint8_t states[TCP_STATES] = {
        [TCP_ESTABLISHED] = 1, [TCP_SYN_SENT] = 2,  [TCP_SYN_RECEIVED] = 3, [TCP_FIN_WAIT_1] = 4,
        [TCP_FIN_WAIT_2] = 5,  [TCP_TIME_WAIT] = 6, [TCP_CLOSED] = 7,       [TCP_CLOSE_WAIT] = 8,
        [TCP_LAST_ACK] = 9,    [TCP_LISTEN] = 10,   [TCP_CLOSING] = 11,
    };

    return s < TCP_STATES ? states[s] : 7;
}

int cm_wire_info(const struct chan *chan, int family, struct cm_wire_info *info)
{
    struct net_info i;
    int err = net_info(tcp_lane_net(chan), tcp_lane_sock(chan), &i);

    *info = (struct cm_wire_info){.state = linux_state(TCP_CLOSED)};
    if (err)
        return err;
    *info = (struct cm_wire_info){
        .state = linux_state(i.state),
        .timestamps = i.timestamps,
        .sack = i.sack,
        .wscale = i.wscale,
        .snd_wscale = i.snd_wscale,
        .rcv_wscale = i.rcv_wscale,
        .unsent_bytes = i.unsent_bytes,
        .unacked_bytes = i.unacked_bytes,
        .urgent_pos = i.urgent_pos,
        .mss = i.mss,
        .mss_peer = i.mss_peer,
        .pmtu = i.pmtu,
        .cwnd_bytes = i.cwnd_bytes,
        .ssthresh_bytes = i.ssthresh_bytes,
        .rcv_bytes = i.rcv_limit_bytes,
        .retransmits = i.retransmits,
        .srtt_ns = i.srtt_ns,
        .rttvar_ns = i.rttvar_ns,
        .min_rtt_ns = i.min_rtt_ns,
        .pacing_rate = i.pacing_rate,
    };
    fill_address(&i.tuple.local, i.tuple.local_port, family, &info->local);
    fill_address(&i.tuple.remote, i.tuple.remote_port, family, &info->remote);
    return 0;
}
