// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/chunk.h"

static struct users users;
static struct chunks chunks;
static struct user *user;

static int begin(void **state)
{
    users_init(&users, &(struct user_limits){.fds = 2});
    user = user_of(&users, geteuid() + 1); // one who is not trusted with all our fds
    chunks_init(&chunks);
    return user ? 0 : -1;
}

static int end(void **state)
{
    assert_true(list_empty(&chunks.all));
    assert_int_equal(user->fds, 0);
    users_fini(&users);
    return 0;
}

static const struct cm_chunk good = {CM_CHUNK_MAGIC, CM_CHUNK_VERSION, 512, 3, 4096, 42, "program"};

static int memfd(struct cm_chunk head, off_t size)
{
    int fd = memfd_create("chunk", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(pwrite(fd, &head, sizeof head, 0), sizeof head);
    return fd;
}

static struct chunk *get(int fd)
{
    return chunk_get(&chunks, &users, user, fd);
}

static void the_same_memfd_is_the_same_chunk(void **state)
{
    int fd = memfd(good, 8192), again = dup(fd);
    struct chunk *a = get(fd), *b = get(again);

    assert_non_null(a);
    assert_ptr_equal(a, b);
    assert_int_equal(a->refs, 2);
    assert_int_equal(user->fds, 1);
    assert_int_equal(fcntl(again, F_GETFD), -1); // one fd is enough
    chunk_put(a);
    assert_ptr_equal(chunk_from(&chunks, 0), b);
    chunk_put(b);
    assert_null(chunk_from(&chunks, 0));
}

static void ids_are_never_used_again(void **state)
{
    struct chunk *a = get(memfd(good, 8192)), *b;
    uint64_t first = a->id;

    chunk_put(a);
    b = get(memfd(good, 8192));
    assert_true(b->id > first);
    assert_ptr_equal(chunk_from(&chunks, first), b);
    assert_null(chunk_from(&chunks, b->id + 1));
    chunk_put(b);
}

static void only_memfds_are_chunks(void **state)
{
    int fds[2], file = open("/dev/zero", O_RDONLY);

    assert_int_equal(pipe(fds), 0);
    assert_null(get(fds[0]));
    assert_null(get(file));
    assert_int_equal(fcntl(file, F_GETFD), -1); // taken in failure, too
    close(fds[1]);
}

static void a_user_has_so_many(void **state)
{
    struct chunk *a = get(memfd(good, 8192)), *b = get(memfd(good, 8192));

    assert_null(get(memfd(good, 8192)));
    chunk_put(a);
    a = get(memfd(good, 8192));
    assert_non_null(a);
    chunk_put(a);
    chunk_put(b);
}

static void records_are_read_where_they_are(void **state)
{
    struct cm_record rec = {.used = 1, .pid = 7}, out;
    int fd = memfd(good, 8192);
    struct cm_chunk head;
    struct chunk *chunk;

    memset(rec.reason, 'r', sizeof rec.reason); // no end
    assert_int_equal(pwrite(fd, &rec, sizeof rec, 4096 + 2 * 512), sizeof rec);
    chunk = get(fd);
    assert_int_equal(chunk_read_head(chunk, &head), 0);
    assert_string_equal(head.program, "program");
    assert_int_equal(chunk_read_record(chunk, &head, 0, &out), 0);
    assert_int_equal(chunk_read_record(chunk, &head, 2, &out), 1);
    assert_int_equal(out.pid, 7);
    assert_int_equal(strlen(out.reason), sizeof out.reason - 1);
    assert_int_equal(chunk_read_record(chunk, &head, 3, &out), -EPROTO);
    chunk_put(chunk);
}

static void expect_bad_head(struct cm_chunk head)
{
    struct chunk *chunk = get(memfd(head, 8192));
    struct cm_chunk out;

    assert_int_equal(chunk_read_head(chunk, &out), -EPROTO);
    chunk_put(chunk);
}

static void heads_that_make_no_sense_are_not_read(void **state)
{
    struct cm_chunk bad = good;

    bad.magic++;
    expect_bad_head(bad);
    bad = good;
    bad.version++;
    expect_bad_head(bad);
    bad = good;
    bad.stride = sizeof(struct cm_record) - 1;
    expect_bad_head(bad);
    bad = good;
    bad.slots = UINT32_MAX;
    expect_bad_head(bad);
}

static void what_is_beyond_the_end_is_not_there(void **state)
{
    struct cm_chunk far = good, head;
    struct cm_record out;
    struct chunk *chunk;

    far.first = UINT32_MAX;
    far.stride = UINT32_MAX;
    chunk = get(memfd(far, 8192));
    assert_int_equal(chunk_read_head(chunk, &head), 0);
    assert_int_equal(chunk_read_record(chunk, &head, 2, &out), -EPROTO);
    chunk_put(chunk);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_memfd_is_the_same_chunk),
        TEST(ids_are_never_used_again),
        TEST(only_memfds_are_chunks),
        TEST(a_user_has_so_many),
        TEST(records_are_read_where_they_are),
        TEST(heads_that_make_no_sense_are_not_read),
        TEST(what_is_beyond_the_end_is_not_there),
    };

    return cmocka_run_group_tests_name("daemon/chunk", tests, NULL, NULL);
}
