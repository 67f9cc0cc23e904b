// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/report.h"

#include "base/util.h"
#include "cm/counters.h"
#include "daemon/stack.h"
#include "daemon/out.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define RECORDS_A_ROUND 128
#define SLOTS_A_ROUND   8192

// Nothing that a stranger wrote may reach a terminal as it is, or break a string of protobuf.
static char *clean(char *text)
{
    for (char *c = text; *c; c++)
        if (!isascii((unsigned char)*c) || !isprint((unsigned char)*c))
            *c = '?';
    return text;
}

static int send_record(struct client *client, struct cm_chunk *head, struct cm_record *rec)
{
    Ctl__StatRecord out = CTL__STAT_RECORD__INIT;
    uint64_t tx[CM_LANES], rx[CM_LANES];
    Ctl__Address local, remote;
    Ctl__Envelope msg;

    for (int i = 0; i < CM_LANES; i++) {
        tx[i] = rec->bytes_tx[i];
        rx[i] = rec->bytes_rx[i];
    }
    packet_address(&rec->local, &local);
    packet_address(&rec->remote, &remote);
    out.program = clean(head->program);
    out.pid = rec->pid ? rec->pid : head->pid;
    out.fd = rec->fd;
    out.server = rec->role == 1;
    out.local = &local;
    out.remote = &remote;
    out.lane_tx = rec->lane_tx;
    out.lane_rx = rec->lane_rx;
    out.rule = clean(rec->rule);
    out.reason = clean(rec->reason);
    out.n_bytes_tx = out.n_bytes_rx = CM_LANES;
    out.bytes_tx = tx;
    out.bytes_rx = rx;
    out.waits_spin = rec->waits_spin;
    out.waits_sleep = rec->waits_sleep;
    out.switches = rec->switches;
    out.cookie = rec->cookie;
    PACKET_INIT(&msg, STAT_RECORD, stat_record, &out);
    return packet_send(client->watch.fd, &msg, NULL, 0);
}

static int send_end(struct client *client)
{
    Ctl__StatEnd end = CTL__STAT_END__INIT;
    Ctl__Counter counter[COUNTERS], *counters[COUNTERS];
    Ctl__Envelope msg;

    if (client->clients->stacks)
        stacks_count(client->clients->stacks, client->clients->count);
    for (int i = 0; i < COUNTERS; i++) {
        ctl__counter__init(&counter[i]);
        counter[i].name = (char *)(uintptr_t)counter_texts[i].name;
        counter[i].value = client->clients->count[i];
        counters[i] = &counter[i];
    }
    end.n_counters = COUNTERS;
    end.counters = counters;
    PACKET_INIT(&msg, STAT_END, stat_end, &end);
    return packet_send(client->watch.fd, &msg, NULL, 0);
}

// Sends what is left of one chunk. 0: it is done; else why the sending stopped.
static int send_chunk(struct client *client, const struct chunk *chunk, int *records, int *slots)
{
    struct cm_chunk head;
    struct cm_record rec;
    int ret = chunk_read_head(chunk, &head), err;

    for (; !ret; client->stat_slot++) {
        ret = chunk_read_record(chunk, &head, client->stat_slot, &rec);
        if (ret < 0)
            break;
        if (--*slots < 0 || (ret && --*records < 0))
            return -EAGAIN;
        err = ret ? send_record(client, &head, &rec) : 0;
        if (err)
            return err;
        ret = 0;
    }
    return 0;
}

static bool may_see(const struct client *client, const struct chunk *chunk)
{
    return client->user->uid == 0 || client->user == chunk->user;
}

static int send_some(struct client *client)
{
    const struct chunks *chunks = &client->clients->registry->chunks;
    int records = RECORDS_A_ROUND, slots = SLOTS_A_ROUND, err = 0;
    const struct chunk *chunk;

    while (!err && (chunk = chunk_from(chunks, client->stat_chunk))) {
        if (chunk->id != client->stat_chunk) {
            client->stat_chunk = chunk->id;
            client->stat_slot = 0;
        }
        if (may_see(client, chunk))
            err = send_chunk(client, chunk, &records, &slots);
        if (!err) {
            client->stat_chunk++;
            client->stat_slot = 0;
        }
    }
    return err ? err : send_end(client);
}

void report_go_on(struct client *client)
{
    int err = send_some(client);

    if (err == -EAGAIN || err == -ENOBUFS)
        return;
    client->stat = false;
    if (err)
        client_die(client);
    else
        loop_change(client->clients->loop, &client->watch, EPOLLIN);
}

void report_begin(struct client *client)
{
    client->stat = true;
    client->stat_chunk = client->stat_slot = 0;
    if (!client->dying)
        loop_change(client->clients->loop, &client->watch, EPOLLOUT);
}
