// SPDX-License-Identifier: BSD-2-Clause
// Claims and matches, through the manager, against a real shuntd.
#include "rig.h"

#include "base/clock.h"
#include "chan/chan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static void pass_a_byte(struct chan *from, struct chan *to)
{
    struct chan_tx tx = {0};
    struct chan_rx rx = {0};

    *chan_tx_at(from, &tx) = 'x';
    chan_commit(from, &tx, 1);
    assert_int_equal(chan_avail(to, &rx, 1), 1);
    assert_int_equal(*chan_rx_at(to, &rx), 'x');
}

static void both_ends_in_one_process_are_matched(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    struct chan a, b;
    int tcp[2];

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    assert_true(cm_busy(cm));
    rig_claim(cm, tcp[1], -1);
    rig_wait_matched(cm, 2);
    assert_false(cm_busy(cm));
    assert_int_equal(told.matched[0].side + told.matched[1].side, 1);
    assert_int_equal(told.n_refused, 0);
    assert_int_equal(chan_map(&a, told.matched[0].memfd, told.matched[0].side, told.matched[0].bell,
                              told.matched[0].peer_bell),
                     0);
    assert_int_equal(chan_map(&b, told.matched[1].memfd, told.matched[1].side, told.matched[1].bell,
                              told.matched[1].peer_bell),
                     0);
    assert_int_equal(a.ring_bytes, RIG_RING_BYTES);
    pass_a_byte(&a, &b);
    pass_a_byte(&b, &a);
    chan_unmap(&a);
    chan_unmap(&b);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm); // hangs up
    rig_wait_count(&rig, "channels", 0);
}

static void shuntd_keeps_no_copy_of_the_socket(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int tcp[2];
    char byte;

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    rig_wait_count(&rig, "claims", 1);
    close(tcp[0]);
    assert_int_equal(read(tcp[1], &byte, 1), 0); // the FIN is out
    close(tcp[1]);
    cm_forked(cm);
    rig_wait_count(&rig, "claims", 0);
}

static int chunk_new(void)
{
    struct cm_chunk head = {.magic = CM_CHUNK_MAGIC, .version = CM_CHUNK_VERSION};
    int fd = memfd_create("chunk", MFD_CLOEXEC);

    assert_int_equal(write(fd, &head, sizeof head), sizeof head);
    return fd;
}

static int lend(struct cm *cm, int sock, int chunk, uint32_t slot)
{
    struct cm_wish wish = {.cookie = cookie_of(sock), .chunk_fd = chunk, .chunk_slot = slot};

    addresses_of(sock, &wish.local, &wish.remote);
    return cm_lend(cm, sock, &wish, clock_now_ns() + 15 * NS_PER_S);
}

static int borrow(struct cm *cm, int sock, int *chunk, uint32_t *slot)
{
    return cm_borrow(cm, sock, cookie_of(sock), clock_now_ns() + 15 * NS_PER_S, chunk, slot);
}

// The lender is gone when the borrower comes, as in exec(2).
static void a_lent_end_is_found(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int tcp[2], chunk = chunk_new(), found;
    struct stat mine, theirs;
    uint32_t slot;

    tcp_pair(tcp);
    assert_int_equal(borrow(cm, tcp[0], &found, &slot), -ENOENT);
    assert_int_equal(lend(cm, tcp[0], chunk, 1), 0);
    assert_int_equal(lend(cm, tcp[0], chunk, 7), 0); // instead of what was said before
    cm_forked(cm);
    assert_int_equal(borrow(cm, tcp[1], &found, &slot), -ENOENT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(borrow(cm, tcp[0], &found, &slot), 0);
        assert_int_equal(slot, 7);
        assert_int_equal(fstat(chunk, &mine) | fstat(found, &theirs), 0);
        assert_int_equal(mine.st_ino, theirs.st_ino);
        close(found);
    }
    close(tcp[0]);
    close(tcp[1]);
    close(chunk);
    cm_forked(cm);
    rig_wait_count(&rig, "lent", 0);
}

static void what_was_lent_is_forgotten_with_its_socket(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int tcp[2], chunk = chunk_new();

    tcp_pair(tcp);
    shutdown(tcp[1], SHUT_WR); // who has heard FIN may lend as well
    assert_int_equal(lend(cm, tcp[0], chunk, 0), 0);
    assert_int_equal(rig_count(&rig, "lent"), 1);
    cm_forked(cm);
    close(tcp[0]);
    close(tcp[1]);
    rig_wait_count(&rig, "lent", 0);
    close(chunk);
}

static void only_a_shown_chunk_of_a_connected_socket_is_lent(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int tcp[2], found, lone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int chunk = chunk_new();
    uint32_t slot;

    tcp_pair(tcp);
    assert_int_equal(lend(cm, tcp[0], -1, 0), -ENOENT);
    assert_int_equal(lend(cm, lone, chunk, 0), -ENOENT);
    assert_int_equal(borrow(cm, tcp[0], &found, &slot), -ENOENT);
    assert_true(rig_alive(&rig));
    close(lone);
    close(tcp[0]);
    close(tcp[1]);
    close(chunk);
    cm_forked(cm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_in_one_process_are_matched),
        cmocka_unit_test(shuntd_keeps_no_copy_of_the_socket),
        cmocka_unit_test(a_lent_end_is_found),
        cmocka_unit_test(what_was_lent_is_forgotten_with_its_socket),
        cmocka_unit_test(only_a_shown_chunk_of_a_connected_socket_is_lent),
    };

    return cmocka_run_group_tests_name("daemon/claim", tests, start, stop);
}
