// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chan/chan.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING 4096

struct pair {
    struct chan a, b;
    struct chan_tx tx; // of a
    struct chan_rx rx; // of b
    int bell[2];
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    int fd = chan_create(RING);

    p->bell[0] = eventfd(0, EFD_NONBLOCK);
    p->bell[1] = eventfd(0, EFD_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(chan_map(&p->a, fd, 0, p->bell[0], p->bell[1]), 0);
    assert_int_equal(chan_map(&p->b, fd, 1, p->bell[1], p->bell[0]), 0);
    close(fd);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    chan_unmap(&p->a);
    chan_unmap(&p->b);
    close(p->bell[0]);
    close(p->bell[1]);
    free(p);
    return 0;
}

static void put(struct pair *p, const void *bytes, size_t n)
{
    assert_true(chan_room(&p->a, &p->tx, n) >= (int64_t)n);
    memcpy(chan_tx_at(&p->a, &p->tx), bytes, n);
    chan_commit(&p->a, &p->tx, n);
}

static bool rings(int bell)
{
    struct pollfd q = {bell, POLLIN, 0};

    return poll(&q, 1, 0) == 1;
}

static void test_sizes_outside_the_limits_are_refused(void **state)
{
    assert_int_equal(chan_create(0), -EINVAL);
    assert_int_equal(chan_create(2048), -EINVAL);
    assert_int_equal(chan_create(5000), -EINVAL);
    assert_int_equal(chan_create(CHAN_RING_MAX_BYTES * 2u), -EINVAL);
}

static void test_memory_is_sealed(void **state)
{
    int fd = chan_create(RING);

    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    close(fd);
}

static int fake(uint32_t magic, uint32_t ring_bytes, off_t size, bool seal)
{
    uint32_t hdr[3] = {magic, CHAN_VERSION, ring_bytes};
    int fd = memfd_create("fake", MFD_ALLOW_SEALING);

    assert_int_equal(pwrite(fd, hdr, sizeof hdr, 0), sizeof hdr);
    assert_int_equal(ftruncate(fd, size), 0);
    if (seal)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    return fd;
}

static void refuse(int fd)
{
    struct chan c = {0};

    assert_int_equal(chan_map(&c, fd, 0, -1, -1), -EPROTO);
    assert_null(c.shared);
    close(fd);
}

static void test_memory_of_a_liar_is_refused(void **state)
{
    refuse(fake(CHAN_MAGIC, RING, CHAN_HDR_BYTES + 2 * RING, false));
    refuse(fake(1234, RING, CHAN_HDR_BYTES + 2 * RING, true));
    refuse(fake(CHAN_MAGIC, RING * 2, CHAN_HDR_BYTES + 2 * RING, true));
    refuse(fake(CHAN_MAGIC, RING + 1, CHAN_HDR_BYTES + 2 * RING, true));
    refuse(fake(CHAN_MAGIC, RING, CHAN_HDR_BYTES, true));
    refuse(open("/dev/null", O_RDWR));
}

static void test_bytes_cross_the_ring_end_in_one_piece(void **state)
{
    struct pair *p = *state;
    uint8_t in[3000];

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7);
    for (int round = 0; round < 20; round++) {
        put(p, in, sizeof in);
        assert_int_equal(chan_avail(&p->b, &p->rx, 1), sizeof in);
        assert_memory_equal(chan_rx_at(&p->b, &p->rx), in, sizeof in);
        chan_consumed(&p->b, &p->rx, sizeof in);
    }
    assert_int_equal(chan_room(&p->a, &p->tx, RING), RING);
}

static void test_a_full_ring_has_no_room(void **state)
{
    struct pair *p = *state;
    uint8_t all[RING] = {1};

    put(p, all, RING);
    assert_int_equal(chan_room(&p->a, &p->tx, 1), 0);
    assert_int_equal(chan_avail(&p->b, &p->rx, 1), RING);
    chan_consumed(&p->b, &p->rx, 1);
    assert_int_equal(chan_room(&p->a, &p->tx, 1), 1);
}

static void test_a_lying_consumer_is_found_out(void **state)
{
    struct pair *p = *state;

    put(p, "abc", 3);
    atomic_store(&p->b.rx->head, 4); // consumed more than there was
    assert_int_equal(chan_room(&p->a, &p->tx, RING), -EPROTO);
    atomic_store(&p->b.rx->head, 2);
    assert_int_equal(chan_room(&p->a, &p->tx, RING), RING - 1);
    atomic_store(&p->b.rx->head, 1); // went back
    assert_int_equal(chan_room(&p->a, &p->tx, RING), -EPROTO);
}

static void test_a_lying_producer_is_found_out(void **state)
{
    struct pair *p = *state;

    atomic_store(&p->a.tx->tail, RING + 1); // more than fits
    assert_int_equal(chan_avail(&p->b, &p->rx, 1), -EPROTO);
    atomic_store(&p->a.tx->tail, 10);
    assert_int_equal(chan_avail(&p->b, &p->rx, 1), 10);
    atomic_store(&p->a.tx->tail, 9); // took one back
    assert_int_equal(chan_avail(&p->b, &p->rx, 11), -EPROTO);
}

static void test_a_lying_header_changes_no_size(void **state)
{
    struct pair *p = *state;

    p->a.shared->ring_bytes = 1u << 30;
    assert_int_equal(chan_room(&p->a, &p->tx, UINT64_MAX), RING);
}

static void test_bell_rings_only_for_sleepers(void **state)
{
    struct pair *p = *state;

    put(p, "a", 1);
    assert_false(rings(p->bell[1]));
    chan_arm(&p->b, true, false);
    put(p, "b", 1);
    assert_true(rings(p->bell[1]));
    chan_bell_clear(&p->b);
    put(p, "c", 1);
    assert_false(rings(p->bell[1]));
}

static void test_writer_on_a_full_ring_is_woken_at_half_and_when_drained(void **state)
{
    struct pair *p = *state;
    uint8_t all[RING] = {0};

    put(p, all, RING);
    chan_arm(&p->a, false, true);
    assert_int_equal(chan_avail(&p->b, &p->rx, 1), RING);
    chan_consumed(&p->b, &p->rx, 10);
    assert_true(rings(p->bell[0]));
    chan_bell_clear(&p->a);
    chan_consumed(&p->b, &p->rx, RING - 100);
    chan_arm(&p->a, false, true);
    chan_consumed(&p->b, &p->rx, 90);
    assert_false(rings(p->bell[0])); // under half: left to chan_drained()
    chan_drained(&p->b);
    assert_true(rings(p->bell[0]));
}

static void test_an_epoch_needs_the_last_one_acknowledged(void **state)
{
    struct pair *p = *state;
    uint64_t mark = 0;

    assert_true(chan_tx_acked(&p->a, &p->tx));
    chan_tx_move(&p->a, &p->tx, 77);
    assert_false(chan_tx_acked(&p->a, &p->tx));
    assert_true(chan_rx_moved(&p->b, &p->rx, &mark));
    assert_int_equal(mark, 77);
    chan_rx_follow(&p->b, &p->rx);
    assert_true(chan_tx_acked(&p->a, &p->tx));
    assert_false(chan_rx_moved(&p->b, &p->rx, &mark));
}

static void test_a_move_wakes_a_sleeping_consumer(void **state)
{
    struct pair *p = *state;

    chan_arm(&p->b, true, false);
    chan_tx_move(&p->a, &p->tx, 0);
    assert_true(rings(p->bell[1]));
}

static void test_a_wish_is_granted_or_moot(void **state)
{
    struct pair *p = *state;

    chan_ask(&p->b, CHAN_WANT_CARRIER);
    assert_true(rings(p->bell[0]));
    assert_int_equal(chan_wanted(&p->a), CHAN_WANT_CARRIER);
    assert_true(chan_rx_granted(&p->b)); // a never said ready, so it cannot have moved
    atomic_store(&p->a.rx->ready, 1);
    assert_false(chan_rx_granted(&p->b));
    atomic_store(&p->a.tx->granted, 1);
    assert_true(chan_rx_granted(&p->b));
}

// Two channels of an engine in one memfd: each is where it was laid, and both directions are on the
// ring from the first byte on.
static void test_channels_within_an_arena(void **state)
{
    const size_t each = CHAN_HDR_BYTES + 2 * RING;
    struct chan c[2] = {{.bell = -1}, {.bell = -1}};
    int fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint8_t *all;

    assert_int_equal(ftruncate(fd, (off_t)(2 * each)), 0);
    all = mmap(NULL, 2 * each, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(all != MAP_FAILED);
    chan_format((struct chan_shared *)(void *)all, RING);
    assert_int_equal(chan_map_within(&c[0], fd, 0, -1, -1), -EPROTO); // it may still shrink
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(chan_map_within(&c[0], fd, 0, -1, -1), 0);
    assert_int_equal(chan_map_within(&c[1], fd, each, -1, -1), -EPROTO); // nothing is there yet
    chan_format((struct chan_shared *)(void *)(all + each), RING);
    assert_int_equal(chan_map_within(&c[1], fd, each, -1, -1), 0);
    for (int i = 0; i < 2; i++) {
        struct chan_tx tx;
        struct chan_rx rx;
        uint64_t mark;

        chan_begin_on_ring(&tx, &rx);
        assert_true(chan_tx_acked(&c[i], &tx));
        assert_false(chan_rx_moved(&c[i], &rx, &mark));
        memset(chan_tx_at(&c[i], &tx), 'a' + i, RING);
        chan_commit(&c[i], &tx, RING);
        assert_int_equal(all[i * each + CHAN_HDR_BYTES], 'a' + i);
        all[i * each + CHAN_HDR_BYTES + RING] = (uint8_t)('A' + i); // the engine's, in ring 1
        assert_int_equal(chan_rx_at(&c[i], &rx)[RING], 'A' + i);    // seen again behind its end
        chan_unmap(&c[i]);
    }
    munmap(all, 2 * each);
    close(fd);
}

static void renew(struct pair *p, uint32_t ring_bytes)
{
    int fd = chan_create(ring_bytes);

    assert_int_equal(chan_renew(&p->a, fd, 0, p->bell[0], p->bell[1]), 0);
    assert_int_equal(chan_renew(&p->b, fd, 1, p->bell[1], p->bell[0]), 0);
    close(fd);
    p->tx = (struct chan_tx){0};
    p->rx = (struct chan_rx){0};
}

// Pointers into the header stay good, whatever size the next rings have.
static void test_the_next_channel_may_be_of_another_size(void **state)
{
    static const uint32_t sizes[] = {RING, 16 * RING, RING, CHAN_RING_MIN_BYTES, 2 * RING};
    static uint8_t all[16 * RING] = {'x', [sizeof all - 1] = 'y'};
    struct pair *p = *state;
    const struct chan_dir *tx = p->a.tx, *rx = p->b.rx;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(chan_blank(&p->a), 0);
        assert_int_equal(chan_blank(&p->b), 0);
        assert_int_equal(chan_stored(tx), 0);
        renew(p, sizes[i]);
        assert_ptr_equal(p->a.tx, tx);
        assert_ptr_equal(p->b.rx, rx);
        put(p, all, 7); // so that the rest crosses the ring's end
        assert_int_equal(chan_avail(&p->b, &p->rx, 1), 7);
        assert_int_equal(chan_stored(rx), 7);
        chan_consumed(&p->b, &p->rx, 7);
        assert_int_equal(chan_room(&p->a, &p->tx, UINT64_MAX), sizes[i]);
        put(p, all, sizes[i]);
        assert_int_equal(chan_avail(&p->b, &p->rx, UINT64_MAX), sizes[i]);
        assert_memory_equal(chan_rx_at(&p->b, &p->rx), all, sizes[i]);
    }
}

static void test_the_next_channel_has_the_same_side(void **state)
{
    struct pair *p = *state;
    int fd = chan_create(RING);

    assert_int_equal(chan_blank(&p->a), 0);
    assert_int_equal(chan_renew(&p->a, fd, 1, p->bell[0], p->bell[1]), -EINVAL);
    assert_int_equal(chan_stored(p->a.tx), 0);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels_within_an_arena),
        cmocka_unit_test(test_sizes_outside_the_limits_are_refused),
        cmocka_unit_test(test_memory_is_sealed),
        cmocka_unit_test(test_memory_of_a_liar_is_refused),
        T(test_bytes_cross_the_ring_end_in_one_piece),
        T(test_a_full_ring_has_no_room),
        T(test_the_next_channel_may_be_of_another_size),
        T(test_the_next_channel_has_the_same_side),
        T(test_a_lying_consumer_is_found_out),
        T(test_a_lying_producer_is_found_out),
        T(test_a_lying_header_changes_no_size),
        T(test_bell_rings_only_for_sleepers),
        T(test_writer_on_a_full_ring_is_woken_at_half_and_when_drained),
        T(test_an_epoch_needs_the_last_one_acknowledged),
        T(test_a_move_wakes_a_sleeping_consumer),
        T(test_a_wish_is_granted_or_moot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
