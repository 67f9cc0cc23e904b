// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/out.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct out_packet {
    struct list link;
    int fds[PACKET_MAX_FDS];
    int n_fds;
    size_t n_bytes;
    uint8_t bytes[];
};

void client_die(struct client *client)
{
    if (client->dying)
        return;
    client->dying = true;
    list_del(&client->link);
    list_add_tail(&client->clients->dying, &client->link);
    loop_remove(client->clients->loop, &client->watch);
}

static void packet_free(struct out_packet *p)
{
    for (int i = 0; i < p->n_fds; i++)
        close(p->fds[i]);
    free(p);
}

// Copies of the fds: what they belong to may end while the packet waits.
static struct out_packet *packet_new(const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    size_t n = ctl__envelope__get_packed_size(msg);
    struct out_packet *p = malloc(sizeof *p + n);

    if (!p)
        return NULL;
    p->n_bytes = n;
    ctl__envelope__pack(msg, p->bytes);
    for (p->n_fds = 0; p->n_fds < n_fds; p->n_fds++) {
        p->fds[p->n_fds] = fcntl(fds[p->n_fds], F_DUPFD_CLOEXEC, 0);
        if (p->fds[p->n_fds] < 0) {
            packet_free(p);
            return NULL;
        }
    }
    return p;
}

static void watch_for(struct client *client)
{
    uint32_t events = list_empty(&client->out) && !client->stat ? EPOLLIN : EPOLLOUT;

    if (!client->dying)
        loop_change(client->clients->loop, &client->watch, events);
}

static void enqueue(struct client *client, const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    struct out_packet *p = client->n_out < OUT_MAX_WAITING ? packet_new(msg, fds, n_fds) : NULL;

    if (!p) { // an answer that is lost would leave the client waiting
        log_warn("hanging up on %d: it leaves too much unread", (int)client->pid);
        client_die(client);
        return;
    }
    list_add_tail(&client->out, &p->link);
    client->n_out++;
    client->out_bytes += p->n_bytes;
    watch_for(client);
}

static bool may_pass(int err)
{
    return err == -EAGAIN || err == -ETOOMANYREFS || err == -ENOBUFS || err == -ENOMEM;
}

void client_send(struct client *client, const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    static uint8_t bytes[PACKET_RELAY_BYTES]; // no message of shuntd's is longer
    int err = -EAGAIN;

    if (client->dying)
        return;
    if (list_empty(&client->out))
        err =
            packet_send_bytes(client->watch.fd, bytes, ctl__envelope__pack(msg, bytes), fds, n_fds);
    if (may_pass(err))
        enqueue(client, msg, fds, n_fds);
    else if (err)
        client_die(client);
}

bool client_flush(struct client *client)
{
    while (!list_empty(&client->out) && !client->dying) {
        struct out_packet *p = list_entry(client->out.next, struct out_packet, link);
        int err = packet_send_bytes(client->watch.fd, p->bytes, p->n_bytes, p->fds, p->n_fds);

        if (may_pass(err))
            return false;
        if (err)
            client_die(client);
        list_del(&p->link);
        client->n_out--;
        client->out_bytes -= p->n_bytes;
        packet_free(p);
    }
    watch_for(client);
    return !client->dying;
}

void client_discard(struct client *client)
{
    while (!list_empty(&client->out)) {
        struct out_packet *p = list_entry(client->out.next, struct out_packet, link);

        list_del(&p->link);
        packet_free(p);
    }
    client->n_out = 0;
    client->out_bytes = 0;
}
