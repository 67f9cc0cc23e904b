// SPDX-License-Identifier: BSD-2-Clause
// What shuntd says to the manager.
#include "cm/manager.h"

#include "base/sys.h"
#include "base/util.h"
#include "shunt/info.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool is_host_page(int fd)
{
    struct stat st;

    return !fstat(fd, &st) && st.st_size == PACKET_PAGE_BYTES &&
           sys_fcntl(fd, F_GET_SEALS, 0) & F_SEAL_SHRINK;
}

// Maps the host's page over ours, so that the word stays where it is; who is counted in it goes
// along, since he will count himself out there.
static void use_host_page(struct cm *cm, uint32_t slot)
{
    int fd = packet_take(&cm->packet, 0);
    const int prot = PROT_READ | PROT_WRITE;
    _Atomic uint32_t *host = MAP_FAILED;

    if (fd >= 0 && cm->spinners != &cm->no_page && is_host_page(fd))
        host = mmap(NULL, PACKET_PAGE_BYTES, prot, MAP_SHARED, fd, 0);
    if (host != MAP_FAILED) {
        atomic_fetch_add(host, atomic_load(cm->spinners));
        mremap((void *)host, PACKET_PAGE_BYTES, PACKET_PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
               (void *)cm->spinners);
        if (slot < PACKET_PAGE_BYTES / PACKET_SPIN_BYTES)
            cm->own_spinners =
                slot ? cm->spinners + slot * (PACKET_SPIN_BYTES / sizeof *host) : &cm->no_slot;
    }
    if (fd >= 0)
        sys_close(fd);
}

static void on_welcome(struct cm *cm, const Ctl__Welcome *w)
{
    char why[96];

    if (w->version == PACKET_VERSION) {
        cm->pass = w->pass;
        use_host_page(cm, w->spin_slot);
        return;
    }
    snprintf(why, sizeof why, "shuntd speaks version %u, this program %u", w->version,
             PACKET_VERSION);
    manager_lost(cm, why);
}

static void on_refused(struct cm *cm, const Ctl__Refused *r)
{
    bool asked = cm->question.kind != ASK_NOTHING && cm->question.kind != ASK_CLIENT;

    if (r->cookie == 0)
        manager_lost(cm, r->reason);
    else if (asked && cm->question.cookie == r->cookie)
        cm->question.answer = -ENOENT;
    else if (cookies_del(&cm->claims, r->cookie))
        cm->events->refused(cm->events->arg, r->cookie, r->reason, false);
}

// Takes the first n fds of the packet, moved up. False: some were lost, all are closed.
static bool take_fds(struct cm *cm, int n, int *fds)
{
    if (cm->packet.n_fds < n)
        return false;
    for (int i = 0; i < n; i++)
        fds[i] = cm_fd_up(packet_take(&cm->packet, i));
    return true;
}

// Numbers below the top quarter are the program's: rather than run it out of them, its connection
// stays with the kernel.
static bool all_up(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (!cm_fd_is_up(fds[i]))
            return false;
    return true;
}

static void decline(struct cm *cm, uint64_t cookie, const char *reason)
{
    cm_drop(cm, cookie);
    cm->events->refused(cm->events->arg, cookie, reason, false);
}

// The fds of a channel. NULL, or why there are none.
static const char *take_channel(struct cm *cm, const Ctl__Matched *m, int fds[3])
{
    const char *why = NULL;

    if (!take_fds(cm, 3, fds))
        return "no file descriptors left";
    if (!all_up(fds, 3))
        why = "the program needs the file descriptors that are left";
    else if (m->lane == SHUNT_LANE_RDMA && cookies_add(&cm->mirrors, m->cookie))
        why = "out of memory";
    for (int i = 0; why && i < 3; i++)
        sys_close(fds[i]);
    return why;
}

static void on_matched(struct cm *cm, const Ctl__Matched *m)
{
    struct cm_channel ch = {.cookie = m->cookie,
                            .side = (int)m->side & 1,
                            .chunk_fd = -1,
                            .lane = (uint8_t)m->lane,
                            .channel_id = m->channel_id,
                            .peer_endpoint = m->peer_endpoint.data,
                            .peer_endpoint_bytes = m->peer_endpoint.len};
    const char *why;
    int fds[3];

    if (!cookies_del(&cm->claims, m->cookie))
        return; // taken back meanwhile; the Drop is on its way
    why = take_channel(cm, m, fds);
    if (why) {
        decline(cm, m->cookie, why);
        return;
    }
    ch.memfd = fds[0];
    ch.bell = fds[1];
    ch.peer_bell = fds[2];
    cm->events->matched(cm->events->arg, &ch);
}

static void on_noted(struct cm *cm, const Ctl__Noted *n)
{
    if (cookies_has(&cm->claims, n->cookie))
        cm->events->noted(cm->events->arg, n->cookie, n->text);
}

static void on_relay(struct cm *cm, const Ctl__Relay *r)
{
    if (!cookies_has(&cm->mirrors, r->cookie))
        return;
    cm->fresh_ns = clock_now_ns() + FRESH_NS;
    cm->events->relayed(cm->events->arg, r->cookie, r->payload.data, r->payload.len);
}

static void on_peer_gone(struct cm *cm, const Ctl__PeerGone *g)
{
    bool known = g->reason > 0 && g->reason <= (int)CM_GONE_CUT;

    if (cookies_del(&cm->mirrors, g->cookie))
        cm->events->peer_gone(cm->events->arg, g->cookie,
                              known ? (enum cm_gone)g->reason : CM_GONE_CUT);
}

static void on_attached(struct cm *cm, const Ctl__Attached *a)
{
    struct question *q = &cm->question;
    int fds[4];

    if (q->kind != ASK_ATTACH || q->cookie != a->cookie)
        return;
    if (!take_fds(cm, ARRAY_LEN(fds), fds)) {
        q->answer = -EMFILE;
        return;
    }
    *q->channel = (struct cm_channel){.cookie = a->cookie,
                                      .side = (int)a->side & 1,
                                      .memfd = fds[0],
                                      .bell = fds[1],
                                      .peer_bell = fds[2],
                                      .chunk_fd = fds[3],
                                      .chunk_slot = a->chunk_slot,
                                      .lane = SHUNT_LANE_SHM,
                                      .channel_id = a->channel_id};
    q->answer = 0;
}

static void on_lent(struct cm *cm, const Ctl__Lent *l)
{
    struct question *q = &cm->question;
    int fd = -1;

    if (q->cookie != l->cookie)
        return;
    if (q->kind == ASK_LEND) {
        q->answer = 0;
    } else if (q->kind == ASK_BORROW) {
        q->answer = take_fds(cm, 1, &fd) ? 0 : -EMFILE;
        q->channel->chunk_fd = fd;
        q->channel->chunk_slot = l->chunk_slot;
    }
}

static void on_is_client(struct cm *cm, const Ctl__IsClientAnswer *a)
{
    if (cm->question.kind == ASK_CLIENT && cm->question.pid == a->pid)
        cm->question.answer = a->yes;
}

static void dispatch(struct cm *cm, const Ctl__Envelope *msg)
{
    switch (msg->body_case) {
    case CTL__ENVELOPE__BODY_WELCOME:
        on_welcome(cm, msg->welcome);
        break;
    case CTL__ENVELOPE__BODY_REFUSED:
        on_refused(cm, msg->refused);
        break;
    case CTL__ENVELOPE__BODY_MATCHED:
        on_matched(cm, msg->matched);
        break;
    case CTL__ENVELOPE__BODY_NOTED:
        on_noted(cm, msg->noted);
        break;
    case CTL__ENVELOPE__BODY_RELAY:
        on_relay(cm, msg->relay);
        break;
    case CTL__ENVELOPE__BODY_PEER_GONE:
        on_peer_gone(cm, msg->peer_gone);
        break;
    case CTL__ENVELOPE__BODY_ATTACHED:
        on_attached(cm, msg->attached);
        break;
    case CTL__ENVELOPE__BODY_LENT:
        on_lent(cm, msg->lent);
        break;
    case CTL__ENVELOPE__BODY_IS_CLIENT_ANSWER:
        on_is_client(cm, msg->is_client_answer);
        break;
    default: // of a newer shuntd
        break;
    }
}

void manager_receive(struct cm *cm)
{
    cm->receiving = true;
    while (cm->up.sock >= 0) {
        int err = packet_recv(cm->up.sock, &cm->packet);

        if (err == -EAGAIN)
            break;
        if (err)
            manager_lost_err(cm, err);
        else
            dispatch(cm, cm->packet.msg);
        cm->stuck_ns = 0; // whatever it left unread, it is alive
        packet_close_fds(&cm->packet);
    }
    cm->receiving = false;
}
