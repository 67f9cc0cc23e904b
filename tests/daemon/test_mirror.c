// SPDX-License-Identifier: BSD-2-Clause
// Mirrored channels (lane rdma) between two programs of one shuntd: each side has its own memfd,
// and the two say what they must to each other through shuntd.
#include "rig.h"

#include "base/clock.h"
#include "chan/chan.h"
#include "shunt/info.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state)
{
    rig_stop(&rig, SIGTERM);
    return 0;
}

static struct cm *manager(void)
{
    return cm_init(rig.path, &rig_events);
}

// Both ends in this process, by one manager.
static struct cm *match(int tcp[2])
{
    struct cm *cm = manager();

    tcp_pair(tcp);
    rig_claim_rdma(cm, tcp[0], "client's");
    rig_claim_rdma(cm, tcp[1], "server's");
    rig_wait_matched(cm, 2);
    return cm;
}

static void end(struct cm *cm, int tcp[2])
{
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm); // hangs up
    rig_wait_count(&rig, "channels", 0);
    assert_int_equal(rig_count(&rig, "ring_bytes"), 0);
    told_clear();
}

static bool rings(int bell)
{
    uint64_t n;

    return read(bell, &n, sizeof n) == sizeof n;
}

static const struct cm_channel *channel_of(uint64_t cookie)
{
    for (int i = 0; i < told.n_matched; i++)
        if (told.matched[i].cookie == cookie)
            return &told.matched[i];
    fail();
    return NULL;
}

static void each_side_has_a_memfd_of_its_own(void **state)
{
    const struct cm_channel *a, *b;
    struct stat sa, sb;
    struct chan chan = {0};
    int tcp[2];
    struct cm *cm = match(tcp);

    a = channel_of(cookie_of(tcp[0]));
    b = channel_of(cookie_of(tcp[1]));
    assert_int_equal(a->lane, SHUNT_LANE_RDMA);
    assert_int_equal(b->lane, SHUNT_LANE_RDMA);
    assert_int_not_equal(a->channel_id, 0);
    assert_int_equal(a->channel_id, b->channel_id);
    assert_int_equal(a->side + b->side, 1);
    assert_string_equal(a->peer_endpoint, "server's");
    assert_string_equal(b->peer_endpoint, "client's");
    assert_int_equal(fstat(a->memfd, &sa), 0);
    assert_int_equal(fstat(b->memfd, &sb), 0);
    assert_int_not_equal(sa.st_ino, sb.st_ino);
    assert_int_equal(chan_map(&chan, a->memfd, a->side, a->bell, a->peer_bell), 0);
    assert_int_equal(chan.ring_bytes, RIG_RING_BYTES);
    chan_ring_peer(&chan); // the mirror rings for the peer
    assert_true(rings(a->bell));
    assert_false(rings(b->bell));
    chan_unmap(&chan);
    assert_int_equal(rig_count(&rig, "ring_bytes"), 4 * RIG_RING_BYTES);
    end(cm, tcp);
}

static void what_is_relayed_arrives_whole_and_in_order(void **state)
{
    static uint8_t bytes[CM_RELAY_MAX_BYTES + 1];
    const size_t sizes[] = {1, 2, 3000, CM_RELAY_MAX_BYTES};
    int tcp[2];
    struct cm *cm = match(tcp);

    assert_int_equal(cm_relay(cm, cookie_of(tcp[0]), bytes, 0), -EMSGSIZE);
    assert_int_equal(cm_relay(cm, cookie_of(tcp[0]), bytes, sizeof bytes), -EMSGSIZE);
    for (int i = 0; i < 4; i++) {
        memset(bytes, i + 1, sizes[i]);
        assert_int_equal(cm_relay(cm, cookie_of(tcp[i & 1]), bytes, sizes[i]), 0);
        rig_wait_told(cm, &told.n_relayed, i + 1);
        assert_int_equal(told.relay_cookie, cookie_of(tcp[!(i & 1)]));
        assert_int_equal(told.relay_bytes, sizes[i]);
        assert_memory_equal(told.relay, bytes, sizes[i]);
        assert_true(rings(channel_of(told.relay_cookie)->bell));
    }
    end(cm, tcp);
}

static void many_relays_lose_and_double_nothing(void **state)
{
    uint32_t sent = 0;
    int tcp[2];
    struct cm *cm = match(tcp);

    while (sent < 2000) {
        if (cm_relay(cm, cookie_of(tcp[0]), &sent, sizeof sent) == 0)
            sent++;
        else
            cm_await(cm, 0);
        if (told.n_relayed)
            assert_memory_equal(told.relay, &(uint32_t){(uint32_t)told.n_relayed - 1}, sizeof sent);
    }
    rig_wait_told(cm, &told.n_relayed, 2000);
    assert_memory_equal(told.relay, &(uint32_t){1999}, sizeof sent);
    end(cm, tcp);
}

static void who_drops_is_told_gone_to_the_other(void **state)
{
    int tcp[2];
    struct cm *cm = match(tcp);

    cm_drop(cm, cookie_of(tcp[0]));
    rig_wait_told(cm, &told.n_gone, 1);
    assert_int_equal(told.gone, CM_GONE_LEFT);
    assert_int_equal(told.gone_cookie, cookie_of(tcp[1]));
    assert_true(rings(channel_of(told.gone_cookie)->bell));
    assert_int_equal(cm_relay(cm, cookie_of(tcp[0]), "x", 1), -ENOTCONN);
    assert_int_equal(cm_relay(cm, cookie_of(tcp[1]), "x", 1), -ENOTCONN);
    assert_false(cm_busy(cm));
    end(cm, tcp);
}

static void after_a_return_the_same_connection_is_matched_anew(void **state)
{
    uint64_t first;
    int tcp[2];
    struct cm *cm = match(tcp);

    first = told.matched[0].channel_id;
    cm_drop(cm, cookie_of(tcp[0]));
    rig_wait_told(cm, &told.n_gone, 1);
    told_clear();
    rig_claim_rdma(cm, tcp[1], "again");
    rig_claim_rdma(cm, tcp[0], "again");
    rig_wait_matched(cm, 2);
    assert_int_not_equal(told.matched[0].channel_id, first);
    end(cm, tcp);
}

// A process that claims one end, and lives until it is killed.
static pid_t other_process(int tcp)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct cm *cm = manager();

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cm_forked(cm);
        rig_claim_rdma(cm, tcp, "child");
        for (;;)
            cm_await(cm, CLOCK_NEVER);
    }
    return pid;
}

static void who_is_killed_is_told_dead(void **state)
{
    struct cm *cm = manager();
    int tcp[2];
    pid_t pid;

    tcp_pair(tcp);
    pid = other_process(tcp[1]);
    rig_claim_rdma(cm, tcp[0], "parent");
    rig_wait_matched(cm, 1);
    assert_string_equal(told.matched[0].peer_endpoint, "child");
    assert_true(cm_busy(cm));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    rig_wait_told(cm, &told.n_gone, 1);
    assert_int_equal(told.gone, CM_GONE_DIED);
    end(cm, tcp);
}

static void no_other_process_can_attach(void **state)
{
    struct cm_channel ch;
    int tcp[2];
    struct cm *cm = match(tcp);

    assert_int_equal(cm_attach(cm, tcp[0], cookie_of(tcp[0]), clock_now_ns() + 5 * NS_PER_S, &ch),
                     -ENOENT);
    end(cm, tcp);
}

static void lanes_go_by_what_both_have(void **state)
{
    struct cm_wish both = {.ring_bytes = RIG_RING_BYTES,
                           .chunk_fd = -1,
                           .lanes = {SHUNT_LANE_SHM, SHUNT_LANE_RDMA},
                           .n_lanes = 2,
                           .endpoint = "both",
                           .endpoint_bytes = 4};
    struct cm *cm = manager();
    int tcp[2];

    tcp_pair(tcp);
    rig_wish(cm, tcp[0], &both);
    rig_claim_rdma(cm, tcp[1], "rdma");
    rig_wait_matched(cm, 2);
    assert_int_equal(told.matched[0].lane, SHUNT_LANE_RDMA);
    end(cm, tcp);
    tcp_pair(tcp);
    rig_wish(cm, tcp[0], &both);
    rig_wish(cm, tcp[1], &both);
    rig_wait_matched(cm, 2);
    assert_int_equal(told.matched[0].lane, SHUNT_LANE_SHM);
    end(cm, tcp);
    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    rig_claim_rdma(cm, tcp[1], "rdma");
    rig_wait_refused(cm, 2);
    assert_string_equal(told.reason, "the two ends have no lane in common");
    assert_int_equal(rig_count(&rig, "refused_lane"), 2);
    end(cm, tcp);
}

// With a budget of their own: of one link, or of the pinned rings of two ends.
static void expect_refused_with(const char *budget, const char *other, const char *reason)
{
    char config[64];
    struct cm *cm;
    int tcp[2][2];

    rig_stop(&rig, SIGTERM);
    rig_config(config, budget);
    rig_start(&rig, "-c", config, NULL);
    cm = match(tcp[0]);
    tcp_pair(tcp[1]);
    rig_claim_rdma(cm, tcp[1][0], "client's");
    rig_claim_rdma(cm, tcp[1][1], other);
    rig_wait_refused(cm, 2);
    assert_string_equal(told.reason, reason);
    assert_int_equal(rig_count(&rig, "channels"), 1);
    close(tcp[1][0]);
    close(tcp[1][1]);
    end(cm, tcp[0]);
    rig_stop(&rig, SIGTERM);
    unlink(config);
    rig_start(&rig, NULL);
}

static void budgets_of_links_and_pinned_rings_hold(void **state)
{
    char pinned[64];

    expect_refused_with("link_budget = 2;", "a third's", "the user has too many RDMA links");
    snprintf(pinned, sizeof pinned, "pinned_budget_bytes = %d;", 4 * RIG_RING_BYTES);
    expect_refused_with(pinned, "server's", "the user's budget of pinned memory is spent");
}

static void a_dead_shuntd_cuts_the_channel(void **state)
{
    int tcp[2];
    struct cm *cm;

    cm = match(tcp);
    rig_stop(&rig, SIGKILL);
    memset(&told, 0, sizeof told);
    rig_wait_told(cm, &told.n_gone, 2);
    assert_int_equal(told.gone, CM_GONE_CUT);
    assert_int_equal(cm_relay(cm, cookie_of(tcp[0]), "x", 1), -ENOTCONN);
    rig_start(&rig, NULL);
    end(cm, tcp);
}

// Who does not read what is relayed to him loses the channel, and nothing else.
static void an_unread_flood_ends_the_channel_only(void **state)
{
    static uint8_t bytes[CM_RELAY_MAX_BYTES];
    struct cm *cm = manager();
    int tcp[2], raw, n = 0;
    struct raw_wish wish = {.lane = SHUNT_LANE_RDMA};

    tcp_pair(tcp);
    raw = raw_client(&rig);
    raw_claim(raw, tcp[1], &wish);
    rig_claim_rdma(cm, tcp[0], "flood");
    rig_wait_matched(cm, 1);
    for (int i = 0; i < 100000 && !told.n_gone; i++) {
        if (cm_relay(cm, cookie_of(tcp[0]), bytes, sizeof bytes) != 0)
            cm_await(cm, 0);
    }
    rig_wait_told(cm, &told.n_gone, 1);
    assert_int_equal(told.gone, CM_GONE_CUT);
    assert_int_equal(raw_recv(raw)->body_case, CTL__ENVELOPE__BODY_MATCHED);
    while (raw_recv(raw)->body_case == CTL__ENVELOPE__BODY_RELAY)
        n++;
    assert_int_equal(raw_packet.msg->body_case, CTL__ENVELOPE__BODY_PEER_GONE);
    assert_true(n > 0);
    packet_close_fds(&raw_packet);
    close(raw);
    end(cm, tcp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_side_has_a_memfd_of_its_own),
        cmocka_unit_test(what_is_relayed_arrives_whole_and_in_order),
        cmocka_unit_test(many_relays_lose_and_double_nothing),
        cmocka_unit_test(who_drops_is_told_gone_to_the_other),
        cmocka_unit_test(after_a_return_the_same_connection_is_matched_anew),
        cmocka_unit_test(who_is_killed_is_told_dead),
        cmocka_unit_test(no_other_process_can_attach),
        cmocka_unit_test(lanes_go_by_what_both_have),
        cmocka_unit_test(budgets_of_links_and_pinned_rings_hold),
        cmocka_unit_test(a_dead_shuntd_cuts_the_channel),
        cmocka_unit_test(an_unread_flood_ends_the_channel_only),
    };

    return cmocka_run_group_tests_name("daemon/mirror", tests, start, stop);
}
