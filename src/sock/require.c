// SPDX-License-Identifier: BSD-2-Clause
// Rules that require a lane: a connection that did not get it by its deadline is ended.
//
// A program may do nothing but wait for such a connection. So while there is one, waits are cut
// into pieces, and between them what is due is done.
#include "sock/require.h"

#include "base/clock.h"
#include "base/log.h"
#include "sock/fdtab.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/self.h"

#define PIECE_NS (10 * NS_PER_MS)

static _Atomic uint32_t n_wanting;

void require_begin(struct conn *c)
{
    if (c->stage != CONN_FRESH || !policy_requires(self.policy))
        return;
    c->wants_lane = true;
    atomic_fetch_add(&n_wanting, 1);
}

void require_over(struct conn *c)
{
    if (atomic_exchange(&c->wants_lane, false))
        atomic_fetch_sub(&n_wanting, 1);
}

// Nothing that lets the peer switch: others may be asleep in the kernel for this connection.
static void progress(struct conn *c, int fd)
{
    conn_decide(c, fd);
    if (c->stage == CONN_HOPEFUL && c->rule.action == POLICY_REQUIRE)
        conn_claim(c, fd, true);
    if (c->stage == CONN_CLAIMED) {
        conn_answers(0);
        if (unlikely(c->far) && c->stage == CONN_CLAIMED)
            mirror_open(c, fd);
    }
    if (c->stage == CONN_HOPEFUL || c->stage == CONN_CLAIMED)
        conn_deadline(c, fd);
    if (c->stage == CONN_MAPPED || c->stage == CONN_RAW ||
        (c->stage != CONN_FRESH && c->rule.action != POLICY_REQUIRE))
        require_over(c);
}

uint64_t require_serve(void)
{
    if (likely(!atomic_load_explicit(&n_wanting, memory_order_relaxed)))
        return CLOCK_NEVER;
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        if (c->wants_lane)
            progress(c, fd);
        conn_put(c);
    }
    return atomic_load(&n_wanting) ? clock_now_ns() + PIECE_NS : CLOCK_NEVER;
}

static bool is_pending(const struct conn *c)
{
    return c->wants_lane && (c->stage == CONN_HOPEFUL || c->stage == CONN_CLAIMED);
}

void require_await(struct conn *c, int fd)
{
    sock_enter();
    progress(c, fd);
    while (is_pending(c)) {
        conn_answers(NS_PER_MS);
        progress(c, fd);
        sock_leave(); // handlers run here
        sock_enter();
    }
    sock_leave();
}

int require_connected(struct conn *c, int fd, bool wait)
{
    if (!c->wants_lane)
        return 0;
    if (wait) {
        require_await(c, fd);
    } else {
        sock_enter();
        progress(c, fd);
        sock_leave();
    }
    return c->refused ? require_error(c, 0) : 0;
}

int require_error(struct conn *c, int err)
{
    bool ours = atomic_exchange(&c->refused, false);

    return ours && c->role == POLICY_CLIENT ? -ECONNREFUSED : err;
}
