// SPDX-License-Identifier: BSD-2-Clause
// A manager without a daemon: the channels exist from the start, and a claim is answered at the
// next poll, each with the next one. So the socket layer can be tried between two processes and
// nothing else.
#include "fake_cm.h"

#include "cm/cm.h"

#include "chan/chan.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cm {
    struct cm_events events;
    struct cm_channel answer;
    bool pending;
};

static struct cm manager;
static struct {
    int memfd, bells[2];
} channels[FAKE_CM_CHANNELS];
static int made, used, side;

void fake_cm_channels(int n, uint32_t ring_bytes)
{
    for (int i = 0; i < made; i++) {
        close(channels[i].memfd);
        close(channels[i].bells[0]);
        close(channels[i].bells[1]);
    }
    for (made = 0; made < n; made++) {
        channels[made].memfd = chan_create(ring_bytes << made % 3);
        channels[made].bells[0] = eventfd(0, EFD_NONBLOCK);
        channels[made].bells[1] = eventfd(0, EFD_NONBLOCK);
    }
    used = 0;
}

void fake_cm_side(int n)
{
    side = n;
}

struct cm *cm_init(const char *daemon_socket, const struct cm_events *events)
{
    manager.events = *events;
    return &manager;
}

void cm_claim(struct cm *cm, int sock, const struct cm_wish *wish)
{
    if (used == made)
        return; // nobody answers
    cm->answer = (struct cm_channel){
        .cookie = wish->cookie,
        .memfd = dup(channels[used].memfd),
        .side = side,
        .bell = dup(channels[used].bells[side]),
        .peer_bell = dup(channels[used].bells[!side]),
        .chunk_fd = -1,
    };
    used++;
    cm->pending = true;
}

void cm_poll(struct cm *cm)
{
    if (!cm->pending)
        return;
    cm->pending = false;
    cm->events.matched(cm->events.arg, &cm->answer);
}

bool cm_busy(const struct cm *cm)
{
    return cm->pending;
}

int cm_await(struct cm *cm, uint64_t deadline_ns)
{
    cm_poll(cm);
    return 0;
}

int cm_attach(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns, struct cm_channel *ch)
{
    return -ENOENT;
}

int cm_lend(struct cm *cm, int sock, const struct cm_wish *wish, uint64_t deadline_ns)
{
    return -ENOTCONN;
}

int cm_borrow(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns, int *chunk_fd,
              uint32_t *chunk_slot)
{
    return -ENOENT;
}

_Atomic uint32_t *cm_spinners(struct cm *cm)
{
    static _Atomic uint32_t spinners;

    return &spinners;
}

_Atomic(_Atomic uint32_t *) *cm_own_spinners(struct cm *cm)
{
    static _Atomic uint32_t none;
    static _Atomic(_Atomic uint32_t *) own = &none;

    return &own;
}

int cm_fd_dup_over(int fd)
{
    return -EMFILE;
}

bool cm_fd_is_over(int fd)
{
    return true;
}

int cm_fd_limit(void)
{
    return 0;
}

int cm_fd_up(int fd)
{
    return fd;
}

void cm_forked(struct cm *cm)
{
}

void cm_chunk(struct cm *cm, int fd)
{
}

void cm_chunk_gone(struct cm *cm, int fd)
{
}

void cm_drop(struct cm *cm, uint64_t cookie)
{
}

int cm_relay(struct cm *cm, uint64_t cookie, const void *bytes, size_t n)
{
    return -ENOTCONN;
}

bool cm_owns_fd(const struct cm *cm, int fd)
{
    return false;
}

void cm_moved(struct cm *cm, int oldfd, int newfd)
{
}

int cm_is_client(struct cm *cm, int pid, uint64_t deadline_ns)
{
    return 0;
}
