// SPDX-License-Identifier: BSD-2-Clause
#include "cm/manager.h"

#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/util.h"
#include "cm/place.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOOK_FRESH_NS (20 * NS_PER_US)
#define LOOK_NS       (10 * NS_PER_MS)
#define STUCK_NS      (100 * NS_PER_MS) // shuntd leaves our packets unread so long: claim no more

static struct cm the_cm;

static _Atomic uint32_t *own_page(struct cm *cm)
{
    void *at =
        mmap(NULL, PACKET_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? &cm->no_page : at;
}

struct cm *cm_init(const char *daemon_socket, const struct cm_events *events)
{
    struct cm *cm = &the_cm;

    cm->up = (struct uplink){.sock = -1, .daemon_socket = daemon_socket};
    cm->look_ns = CLOCK_NEVER;
    if (!cm->spinners)
        cm->spinners = own_page(cm);
    cm->own_spinners = &cm->no_slot;
    cm->events = events;
    place_remember();
    return cm;
}

// ---- the connection ----

static void refuse_all(struct cm *cm)
{
    struct cookies claims, mirrors;

    cookies_take(&cm->claims, &claims);
    for (size_t i = 0; i < claims.slots; i++)
        if (claims.slot[i])
            cm->events->refused(cm->events->arg, claims.slot[i], cm->why, true);
    cookies_fini(&claims);
    cookies_take(&cm->mirrors, &mirrors);
    for (size_t i = 0; i < mirrors.slots; i++)
        if (mirrors.slot[i])
            cm->events->peer_gone(cm->events->arg, mirrors.slot[i], CM_GONE_CUT);
    cookies_fini(&mirrors);
}

void manager_lost(struct cm *cm, const char *why)
{
    uplink_close(&cm->up);
    cm->own_spinners = &cm->no_slot;
    cm->stuck_ns = 0;
    cookies_fini(&cm->drops);
    if (strcmp(cm->why, why))
        log_info("no shuntd: %s", why); // not each time that it is tried again
    snprintf(cm->why, sizeof cm->why, "%s", why);
    if (cm->question.kind != ASK_NOTHING)
        cm->question.answer = -ENOTCONN;
    for (int i = 0; i < cm->n_chunks; i++)
        cm->chunks[i].told = false;
    refuse_all(cm);
}

void manager_lost_err(struct cm *cm, int err)
{
    char why[96];

    snprintf(why, sizeof why, "shuntd is gone: %s", err_text(err));
    manager_lost(cm, err == -EPIPE || err == -ECONNRESET ? "shuntd is gone" : why);
}

// What a send came to: gives the connection up for every error that will not pass. Who has hung up
// may have said why.
static int sent(struct cm *cm, int err)
{
    if (!err || err == -EAGAIN || err == -ETOOMANYREFS || err == -EBADF || err == -ENOBUFS)
        return err;
    if (!cm->receiving)
        manager_receive(cm);
    if (cm->up.sock >= 0)
        manager_lost_err(cm, err);
    return err;
}

static int send_msg(struct cm *cm, const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    return sent(cm, packet_send(cm->up.sock, msg, fds, n_fds));
}

static void no_connection(struct cm *cm, int err)
{
    char why[96];

    if (err == -ENOENT || err == -ECONNREFUSED)
        snprintf(why, sizeof why, "no shuntd is running");
    else
        snprintf(why, sizeof why, "cannot connect to shuntd: %s", err_text(err));
    manager_lost(cm, why);
}

// True if there is a connection now.
static bool connected(struct cm *cm)
{
    int err;

    if (uplink_is_ours(&cm->up))
        return true;
    if (cm->up.sock >= 0)
        manager_lost(cm, "the program closed the connection to shuntd");
    err = uplink_open(&cm->up);
    if (err == -ENOTCONN)
        return false;
    if (err) {
        no_connection(cm, err);
        return false;
    }
    cm->chunks_due = cm->n_chunks > 0;
    *cm->why = 0;
    sent(cm, uplink_hello(cm->up.sock));
    return cm->up.sock >= 0;
}

// ---- chunks and drops: what may wait ----

static ino_t inode_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) ? 0 : st.st_ino;
}

static void forget_chunk(struct cm *cm, int i)
{
    cm->chunks[i] = cm->chunks[--cm->n_chunks];
}

static void tell_chunks(struct cm *cm)
{
    Ctl__Chunk chunk = CTL__CHUNK__INIT;
    Ctl__Envelope msg;

    PACKET_INIT(&msg, CHUNK, chunk, &chunk);
    for (int i = cm->n_chunks; i-- > 0;) {
        struct told_chunk *k = &cm->chunks[i];

        if (k->told)
            continue;
        if (inode_of(k->fd) != k->ino) {
            forget_chunk(cm, i);
            continue;
        }
        chunk.id = (uint32_t)k->fd;
        if (send_msg(cm, &msg, &k->fd, 1))
            return;
        k->told = true;
    }
    cm->chunks_due = false;
}

static int tell_drop(struct cm *cm, uint64_t cookie)
{
    Ctl__Drop drop = CTL__DROP__INIT;
    Ctl__Envelope msg;

    drop.cookie = cookie;
    PACKET_INIT(&msg, DROP, drop, &drop);
    return send_msg(cm, &msg, NULL, 0);
}

// As many as there is room for. Telling one may lose the connection, and all that was to be told.
static void tell_drops(struct cm *cm)
{
    for (size_t i = 0; i < cm->drops.slots; i++)
        while (i < cm->drops.slots && cm->drops.slot[i]) {
            uint64_t cookie = cm->drops.slot[i];

            if (tell_drop(cm, cookie))
                return;
            cm->stuck_ns = 0;                // there was no room for it before: shuntd reads
            cookies_del(&cm->drops, cookie); // which moves another here, or none
        }
}

static void flush(struct cm *cm)
{
    if (cm->chunks_due)
        tell_chunks(cm);
    if (cm->up.sock >= 0 && cm->drops.used)
        tell_drops(cm);
}

static void set_look(struct cm *cm, uint64_t now)
{
    if (cm->up.sock >= 0)
        cm->look_ns = now + (now < cm->fresh_ns && cm_busy(cm) ? LOOK_FRESH_NS : LOOK_NS);
    else
        cm->look_ns = cm->n_chunks ? MAX(cm->up.retry_ns, now) : CLOCK_NEVER;
}

static void look(struct cm *cm)
{
    if (connected(cm)) {
        flush(cm);
        manager_receive(cm);
    }
    set_look(cm, clock_now_ns());
}

// ---- what the program wants ----

void cm_forked(struct cm *cm)
{
    uplink_forget(&cm->up);
    cookies_fini(&cm->claims);
    cookies_fini(&cm->drops);
    cookies_fini(&cm->mirrors);
    cm->own_spinners = &cm->no_slot; // the parent's is not ours
    cm->stuck_ns = 0;
    cm->question.kind = ASK_NOTHING;
    for (int i = 0; i < cm->n_chunks; i++)
        cm->chunks[i].told = false;
    cm->look_ns = cm->n_chunks ? 0 : CLOCK_NEVER;
}

int cm_mute(struct cm *cm)
{
    cookies_fini(&cm->claims);
    cookies_fini(&cm->drops);
    cookies_fini(&cm->mirrors);
    cm->n_chunks = 0;
    cm->look_ns = CLOCK_NEVER;
    return uplink_mute(&cm->up);
}

static struct told_chunk *chunk_of(struct cm *cm, int fd)
{
    for (int i = cm->n_chunks; i-- > 0;)
        if (cm->chunks[i].fd == fd)
            return &cm->chunks[i];
    return NULL;
}

void cm_chunk(struct cm *cm, int memfd)
{
    struct told_chunk *k = chunk_of(cm, memfd);
    ino_t ino = inode_of(memfd);

    if (!ino || (k ? k->ino == ino : cm->n_chunks == CHUNKS))
        return;
    if (!k)
        k = &cm->chunks[cm->n_chunks++];
    *k = (struct told_chunk){.fd = memfd, .ino = ino};
    cm->chunks_due = true;
    if (connected(cm))
        flush(cm);
    set_look(cm, clock_now_ns());
}

void cm_chunk_gone(struct cm *cm, int memfd)
{
    struct told_chunk *k = chunk_of(cm, memfd);
    Ctl__Chunk chunk = CTL__CHUNK__INIT;
    Ctl__Envelope msg;

    if (!k)
        return;
    chunk.id = (uint32_t)memfd;
    chunk.gone = true;
    PACKET_INIT(&msg, CHUNK, chunk, &chunk);
    if (k->told && uplink_is_ours(&cm->up))
        send_msg(cm, &msg, NULL, 0);
    forget_chunk(cm, (int)(k - cm->chunks));
}

// A packet that shuntd does not read keeps a copy of the socket in it alive, and so delays its FIN.
static bool stuck(struct cm *cm, uint64_t now)
{
    int unread = 0;

    if (sys_ioctl(cm->up.sock, SIOCOUTQ, &unread) || !unread)
        cm->stuck_ns = 0;
    else if (!cm->stuck_ns)
        cm->stuck_ns = now;
    return cm->stuck_ns && now - cm->stuck_ns >= STUCK_NS;
}

// A socket that is under way in a packet would keep the connection open after its close(), and in
// the program's epoll sets: so it is passed only where shuntd cannot see it otherwise.
static int send_claim(struct cm *cm, int sock, const struct cm_wish *wish)
{
    Ctl__Claim claim = CTL__CLAIM__INIT;
    uint32_t lanes[CM_LANES];
    Ctl__Address local, remote;
    Ctl__Envelope msg;

    claim.cookie = wish->cookie;
    claim.ring_bytes = wish->ring_bytes;
    claim.cross_user = wish->cross_user;
    claim.chunk_id = (uint32_t)wish->chunk_fd;
    claim.chunk_slot = wish->chunk_slot;
    for (int i = 0; i < wish->n_lanes; i++)
        lanes[i] = wish->lanes[i];
    claim.n_lanes = wish->n_lanes;
    claim.lanes = lanes;
    claim.endpoint =
        (ProtobufCBinaryData){wish->endpoint_bytes, (uint8_t *)(uintptr_t)wish->endpoint};
    packet_address(&wish->local, &local);
    packet_address(&wish->remote, &remote);
    claim.local = &local;
    claim.remote = &remote;
    claim.fd = sock;
    PACKET_INIT(&msg, CLAIM, claim, &claim);
    return send_msg(cm, &msg, &sock, cm->pass ? 1 : 0);
}

// NULL, or why it could not be claimed.
static const char *claim(struct cm *cm, int sock, const struct cm_wish *wish, uint64_t now)
{
    int err;

    if (!connected(cm))
        return cm->why;
    if (stuck(cm, now))
        return "shuntd does not answer";
    cm_chunk(cm, wish->chunk_fd);
    flush(cm);
    if (cm->up.sock < 0)
        return cm->why;
    if (cookies_add(&cm->claims, wish->cookie))
        return "out of memory";
    err = send_claim(cm, sock, wish);
    if (!err)
        return NULL;
    // where lost() has told it already, this is the second deletion, and nothing more to say
    return cookies_del(&cm->claims, wish->cookie) ? "shuntd is too busy" : NULL;
}

void cm_claim(struct cm *cm, int sock, const struct cm_wish *wish)
{
    uint64_t now = clock_now_ns();
    const char *why = claim(cm, sock, wish, now);

    if (why) {
        cm->events->refused(cm->events->arg, wish->cookie, why, true);
        return;
    }
    cm->fresh_ns = now + FRESH_NS;
    cm->look_ns = MIN(cm->look_ns, now + LOOK_FRESH_NS);
}

// The program may make no further call for long: so what found no room waits for some, while
// shuntd reads.
static void press_drops(struct cm *cm)
{
    uint64_t now = clock_now_ns();

    if (stuck(cm, now))
        return;
    if (!cm->receiving)
        manager_receive(cm); // shuntd reads nothing of who leaves its answers unread
    if (cm->up.sock >= 0)
        packet_wait(cm->up.sock, POLLOUT, now + STUCK_NS);
    if (cm->up.sock >= 0)
        tell_drops(cm);
}

void cm_drop(struct cm *cm, uint64_t cookie)
{
    int err;

    cookies_del(&cm->claims, cookie);
    cookies_del(&cm->mirrors, cookie);
    if (!uplink_is_ours(&cm->up))
        return; // shuntd forgot it with the connection
    err = tell_drop(cm, cookie);
    if (!err || cm->up.sock < 0 || cookies_add(&cm->drops, cookie))
        return;
    cm->look_ns = 0;
    if (err == -EAGAIN)
        press_drops(cm);
}

int cm_relay(struct cm *cm, uint64_t cookie, const void *bytes, size_t n)
{
    Ctl__Relay relay = CTL__RELAY__INIT;
    Ctl__Envelope msg;
    int err;

    if (n == 0 || n > CM_RELAY_MAX_BYTES)
        return -EMSGSIZE;
    if (!cookies_has(&cm->mirrors, cookie) || !connected(cm))
        return -ENOTCONN;
    relay.cookie = cookie;
    relay.payload = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)bytes};
    PACKET_INIT(&msg, RELAY, relay, &relay);
    err = packet_send_bytes(cm->up.sock, cm->relay, ctl__envelope__pack(&msg, cm->relay), NULL, 0);
    cm->fresh_ns = clock_now_ns() + FRESH_NS;
    cm->look_ns = MIN(cm->look_ns, cm->fresh_ns - FRESH_NS + LOOK_FRESH_NS);
    return sent(cm, err);
}

void cm_poll(struct cm *cm)
{
    if (cm->look_ns != CLOCK_NEVER && clock_now_ns() >= cm->look_ns)
        look(cm);
}

bool cm_busy(const struct cm *cm)
{
    return cm->claims.used > 0 || cm->mirrors.used > 0;
}

int cm_await(struct cm *cm, uint64_t deadline_ns)
{
    int err;

    if (!connected(cm))
        return -ENOTCONN;
    flush(cm);
    if (cm->up.sock < 0)
        return -ENOTCONN;
    err = packet_wait(cm->up.sock, POLLIN, deadline_ns);
    look(cm);
    return err;
}

// Sends the question and waits for its answer.
static int ask(struct cm *cm, const Ctl__Envelope *msg, const int *fd, uint64_t deadline_ns)
{
    struct question *q = &cm->question;
    int err = 0;

    if (stuck(cm, clock_now_ns()))
        return -ETIMEDOUT;
    q->answer = -EINPROGRESS;
    flush(cm);
    while (cm->up.sock >= 0 && (err = send_msg(cm, msg, fd, fd ? 1 : 0)) == -EAGAIN) {
        manager_receive(cm);
        if (cm->up.sock >= 0 && packet_wait(cm->up.sock, POLLOUT, deadline_ns))
            return -ETIMEDOUT;
    }
    if (err && cm->up.sock >= 0)
        return err;
    while (cm->up.sock >= 0) {
        manager_receive(cm);
        if (q->answer != -EINPROGRESS)
            return q->answer;
        if (cm->up.sock >= 0 && packet_wait(cm->up.sock, POLLIN, deadline_ns))
            return -ETIMEDOUT;
    }
    return -ENOTCONN;
}

int cm_attach(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns, struct cm_channel *ch)
{
    Ctl__Attach attach = CTL__ATTACH__INIT;
    Ctl__Envelope msg;
    int ret;

    if (!connected(cm))
        return -ENOTCONN;
    attach.cookie = cookie;
    PACKET_INIT(&msg, ATTACH, attach, &attach);
    cm->question = (struct question){.kind = ASK_ATTACH, .cookie = cookie, .channel = ch};
    ret = ask(cm, &msg, &sock, deadline_ns);
    cm->question.kind = ASK_NOTHING;
    if (ret == -ETIMEDOUT)
        cm_drop(cm, cookie); // the answer may still come, and is let go then
    return ret;
}

int cm_lend(struct cm *cm, int sock, const struct cm_wish *wish, uint64_t deadline_ns)
{
    Ctl__Lend lend = CTL__LEND__INIT;
    Ctl__Address local, remote;
    Ctl__Envelope msg;
    int ret;

    if (!connected(cm))
        return -ENOTCONN;
    cm_chunk(cm, wish->chunk_fd);
    lend.cookie = wish->cookie;
    lend.chunk_id = (uint32_t)wish->chunk_fd;
    lend.chunk_slot = wish->chunk_slot;
    packet_address(&wish->local, &local);
    packet_address(&wish->remote, &remote);
    lend.local = &local;
    lend.remote = &remote;
    PACKET_INIT(&msg, LEND, lend, &lend);
    cm->question = (struct question){.kind = ASK_LEND, .cookie = wish->cookie};
    ret = ask(cm, &msg, &sock, deadline_ns);
    cm->question.kind = ASK_NOTHING;
    return ret;
}

int cm_borrow(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns, int *chunk_fd,
              uint32_t *chunk_slot)
{
    Ctl__Borrow borrow = CTL__BORROW__INIT;
    struct cm_channel found = {0};
    Ctl__Envelope msg;
    int ret;

    if (!connected(cm))
        return -ENOTCONN;
    borrow.cookie = cookie;
    PACKET_INIT(&msg, BORROW, borrow, &borrow);
    cm->question = (struct question){.kind = ASK_BORROW, .cookie = cookie, .channel = &found};
    ret = ask(cm, &msg, &sock, deadline_ns);
    cm->question.kind = ASK_NOTHING;
    *chunk_fd = found.chunk_fd;
    *chunk_slot = found.chunk_slot;
    return ret;
}

int cm_is_client(struct cm *cm, int pid, uint64_t deadline_ns)
{
    Ctl__IsClient is_client = CTL__IS_CLIENT__INIT;
    Ctl__Envelope msg;
    int ret;

    if (!connected(cm))
        return -ENOTCONN;
    is_client.pid = pid;
    PACKET_INIT(&msg, IS_CLIENT, is_client, &is_client);
    cm->question = (struct question){.kind = ASK_CLIENT, .pid = pid};
    ret = ask(cm, &msg, NULL, deadline_ns);
    cm->question.kind = ASK_NOTHING;
    return ret;
}

_Atomic uint32_t *cm_spinners(struct cm *cm)
{
    return cm->spinners;
}

_Atomic(_Atomic uint32_t *) *cm_own_spinners(struct cm *cm)
{
    return &cm->own_spinners;
}

bool cm_owns_fd(const struct cm *cm, int fd)
{
    return uplink_owns_fd(&cm->up, fd);
}

void cm_moved(struct cm *cm, int oldfd, int newfd)
{
    uplink_moved(&cm->up, oldfd, newfd);
    for (int i = 0; i < cm->n_chunks; i++)
        if (cm->chunks[i].fd == oldfd)
            cm->chunks[i].fd = newfd;
}
