// SPDX-License-Identifier: BSD-2-Clause
#include "cm/ask.h"

#include "base/err.h"
#include "base/util.h"
#include "cm/packet.h"
#include "cm/place.h"
#include "cm/uplink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct packet answer;

// Receives one packet into answer. 0, -EPIPE, -ETIMEDOUT, -EBADMSG.
static int receive(int sock, uint64_t deadline_ns)
{
    for (;;) {
        int err = packet_recv(sock, &answer);

        packet_close_fds(&answer);
        if (err == -EAGAIN && !(err = packet_wait(sock, POLLIN, deadline_ns)))
            continue;
        return err == -ECONNRESET ? -EPIPE : err;
    }
}

static int be_welcomed(int sock, uint64_t deadline_ns, char why[ASK_WHY_BYTES])
{
    int err = uplink_hello(sock);

    if (!err)
        err = receive(sock, deadline_ns);
    if (err) {
        snprintf(why, ASK_WHY_BYTES, "shuntd does not answer: %s", err_text(err));
        return err;
    }
    if (answer.msg->body_case == CTL__ENVELOPE__BODY_WELCOME &&
        answer.msg->welcome->version == PACKET_VERSION)
        return 0;
    snprintf(why, ASK_WHY_BYTES, "%s",
             answer.msg->body_case == CTL__ENVELOPE__BODY_REFUSED ? answer.msg->refused->reason
                                                                  : "shuntd is of another version");
    return -EPROTO;
}

int ask_open(const char *path, uint64_t deadline_ns, char why[ASK_WHY_BYTES])
{
    int sock = place_connect(path), err;

    if (sock < 0) {
        snprintf(why, ASK_WHY_BYTES, "%s",
                 sock == -ENOENT || sock == -ECONNREFUSED ? "no shuntd is running"
                 : sock == -EPERM                         ? "that shuntd belongs to another user"
                                                          : err_text(sock));
        return sock;
    }
    err = be_welcomed(sock, deadline_ns, why);
    if (err)
        close(sock);
    return err ? err : sock;
}

int ask_open_any(const char *named, uint64_t deadline_ns, char why[ASK_WHY_BYTES])
{
    char path[PLACE_MAX];
    int ret = -ENOENT, err;

    snprintf(why, ASK_WHY_BYTES, "no shuntd is running");
    for (int i = 0; ret < 0 && (err = place_nth(i, named, geteuid(), path)) != -ENOENT; i++)
        if (!err)
            ret = ask_open(path, deadline_ns, why);
    return ret;
}

int ask_stay(int sock)
{
    Ctl__Stay stay = CTL__STAY__INIT;
    Ctl__Envelope msg;

    PACKET_INIT(&msg, STAY, stay, &stay);
    return packet_send(sock, &msg, NULL, 0);
}

static void read_record(const Ctl__StatRecord *in, struct cm_record *rec)
{
    *rec = (struct cm_record){.used = 1,
                              .pid = in->pid,
                              .fd = in->fd,
                              .role = in->server,
                              .lane_tx = (uint8_t)MIN(in->lane_tx, (uint32_t)UINT8_MAX),
                              .lane_rx = (uint8_t)MIN(in->lane_rx, (uint32_t)UINT8_MAX),
                              .cookie = in->cookie,
                              .waits_spin = in->waits_spin,
                              .waits_sleep = in->waits_sleep,
                              .switches = in->switches};
    snprintf(rec->rule, sizeof rec->rule, "%s", in->rule);
    snprintf(rec->reason, sizeof rec->reason, "%s", in->reason);
    packet_read_address(in->local, &rec->local);
    packet_read_address(in->remote, &rec->remote);
    for (size_t i = 0; i < MIN(in->n_bytes_tx, (size_t)CM_LANES); i++)
        rec->bytes_tx[i] = in->bytes_tx[i];
    for (size_t i = 0; i < MIN(in->n_bytes_rx, (size_t)CM_LANES); i++)
        rec->bytes_rx[i] = in->bytes_rx[i];
}

static void tell_counters(const Ctl__StatEnd *end, const struct ask_stat *stat)
{
    for (size_t i = 0; i < end->n_counters; i++)
        stat->counter(stat->arg, end->counters[i]->name, end->counters[i]->value);
}

int ask_stat(int sock, const struct ask_stat *stat, uint64_t deadline_ns)
{
    Ctl__Stat question = CTL__STAT__INIT;
    struct cm_record rec;
    Ctl__Envelope msg;
    int err;

    PACKET_INIT(&msg, STAT, stat, &question);
    err = packet_send(sock, &msg, NULL, 0);
    while (!err) {
        err = receive(sock, deadline_ns);
        if (err)
            break;
        if (answer.msg->body_case == CTL__ENVELOPE__BODY_STAT_END) {
            tell_counters(answer.msg->stat_end, stat);
            break;
        }
        if (answer.msg->body_case == CTL__ENVELOPE__BODY_STAT_RECORD) {
            read_record(answer.msg->stat_record, &rec);
            stat->record(stat->arg, answer.msg->stat_record->program, &rec);
        }
    }
    return err;
}
