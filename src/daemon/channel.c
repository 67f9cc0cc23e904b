// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/channel.h"

#include "base/util.h"
#include "shunt/info.h"

#include <errno.h>
#include <unistd.h>

uint8_t channel_lane(const struct conn *conn)
{
    const struct side *a = &conn->side[0], *b = &conn->side[1];

    for (int i = 0; i < a->n_lanes; i++)
        for (int j = 0; j < b->n_lanes; j++)
            if (a->lanes[i] == b->lanes[j])
                return a->lanes[i];
    return SHUNT_LANE_KERNEL;
}

bool channel_is_mirrored(const struct conn *conn)
{
    return conn->lane == SHUNT_LANE_RDMA;
}

// ---- who pays ----

// Each user of shared rings pays for them; of mirrored ones each side on this host for its own.
static bool pays(const struct conn *conn, int i)
{
    if (!conn->here[i])
        return false;
    return i == 0 || channel_is_mirrored(conn) || conn->side[0].user != conn->side[1].user;
}

static uint64_t bytes_of(const struct conn *conn)
{
    return 2 * (uint64_t)conn->ring_bytes;
}

static uint32_t fds_of(const struct conn *conn)
{
    return channel_is_mirrored(conn) ? 2 : 3;
}

static void uncharge_memory(struct conn *conn, int i)
{
    user_drop_channel(conn->side[i].user, bytes_of(conn));
    if (conn->link[i])
        user_drop_link(conn->link[i], bytes_of(conn));
    conn->link[i] = NULL;
}

static const char *charge_memory(struct registry *r, struct conn *conn, int i)
{
    const struct side *own = &conn->side[i], *peer = &conn->side[!i];
    const struct user_ends ends = {own->endpoint, peer->endpoint, own->endpoint_bytes,
                                   peer->endpoint_bytes};
    const char *reason = user_add_channel(&r->users, own->user, bytes_of(conn));
    struct user_link *link;

    if (reason || !channel_is_mirrored(conn))
        return reason;
    reason = user_add_link(&r->users, own->user, &ends, bytes_of(conn), &link);
    if (reason)
        user_drop_channel(own->user, bytes_of(conn));
    else
        conn->link[i] = link;
    return reason;
}

static void uncharge(struct conn *conn, int i)
{
    uncharge_memory(conn, i);
    user_drop_fds(conn->side[i].user, fds_of(conn));
}

static const char *charge(struct registry *r, struct conn *conn, int i, enum counter *why)
{
    const char *reason = charge_memory(r, conn, i);

    *why = COUNT_REFUSED_BUDGET;
    if (reason || !user_add_fds(&r->users, conn->side[i].user, fds_of(conn)))
        return reason;
    uncharge_memory(conn, i);
    *why = COUNT_REFUSED_LIMIT;
    return "the user makes shuntd hold too many file descriptors";
}

static const char *charge_all(struct registry *r, struct conn *conn, enum counter *why)
{
    const char *reason = NULL;

    for (int i = 0; i < 2 && !reason; i++) {
        reason = pays(conn, i) ? charge(r, conn, i, why) : NULL;
        if (reason && i == 1 && pays(conn, 0))
            uncharge(conn, 0);
    }
    return reason;
}

// ---- open and close ----

// Bytes of all rings that this host holds for the channel.
static uint64_t held_bytes(const struct conn *conn)
{
    int n = 0;

    for (int i = 0; i < 2; i++)
        n += channel_is_mirrored(conn) && conn->here[i];
    return bytes_of(conn) * (uint64_t)MAX(n, 1);
}

static int open_parts(struct conn *conn)
{
    int err = 0;

    if (!channel_is_mirrored(conn))
        return cm_parts_open(&conn->parts[0], conn->ring_bytes);
    for (int i = 0; i < 2 && !err; i++)
        if (conn->here[i])
            err = cm_parts_open_mirror(&conn->parts[i], conn->ring_bytes, i);
    return err;
}

static const char *obstacle(const struct conn *conn, enum counter *why)
{
    const struct side *a = &conn->side[0], *b = &conn->side[1];

    *why = COUNT_REFUSED_USER;
    if (conn->here[0] && conn->here[1] && a->user != b->user && !(a->cross_user && b->cross_user))
        return "the peer belongs to another user";
    *why = COUNT_REFUSED_BAD_MESSAGE;
    return cm_ring_size(MIN(a->ring_bytes, b->ring_bytes)) ? NULL : "the ring is too small";
}

const char *channel_open(struct registry *r, struct conn *conn, uint8_t lane, uint64_t id,
                         enum counter *why)
{
    const char *reason;
    int err;

    conn->lane = lane;
    conn->id = id;
    for (int i = 0; i < 2; i++)
        conn->here[i] = conn->side[i].state != SIDE_FAR;
    reason = obstacle(conn, why);
    if (reason)
        return reason;
    conn->ring_bytes = cm_ring_size(MIN(conn->side[0].ring_bytes, conn->side[1].ring_bytes));
    reason = charge_all(r, conn, why);
    if (reason) {
        conn->ring_bytes = 0;
        return reason;
    }
    // from here on channel_close() takes back
    r->count[COUNT_CHANNELS]++;
    r->count[COUNT_RING_BYTES] += held_bytes(conn);
    err = open_parts(conn);
    *why = COUNT_REFUSED_LIMIT;
    return !err                               ? NULL
           : err == -EMFILE || err == -ENFILE ? "shuntd has no file descriptors left"
                                              : "shuntd has no memory for the rings";
}

void channel_close(struct registry *r, struct conn *conn)
{
    if (!conn->ring_bytes)
        return;
    for (int i = 0; i < 2; i++) {
        if (pays(conn, i))
            uncharge(conn, i);
        cm_parts_close(&conn->parts[i]);
    }
    r->count[COUNT_CHANNELS]--;
    r->count[COUNT_RING_BYTES] -= held_bytes(conn);
    r->count[COUNT_CLOSED_TOTAL]++;
    conn->ring_bytes = 0;
}

// ---- its fds ----

void channel_fds(const struct side *side, int fds[static 3])
{
    int me = side_index(side);
    bool mirrored = channel_is_mirrored(side->conn);
    const struct cm_parts *parts = &side->conn->parts[mirrored ? me : 0];

    fds[0] = parts->memfd;
    fds[1] = parts->bell[me];
    fds[2] = parts->bell[mirrored ? me : !me];
}

void channel_ring(const struct side *side)
{
    const uint64_t one = 1;
    int fds[3];

    channel_fds(side, fds);
    if (write(fds[1], &one, sizeof one) < 0)
        return; // a full counter: it is ringing
}
