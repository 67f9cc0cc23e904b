// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#include "daemon/seal.h"

static char path[] = "/tmp/shunt-seal-XXXXXX";

// Puts text in the file; loads the key from it.
static int load(const char *text, mode_t mode, struct seal_key *key, char why[SEAL_WHY_BYTES])
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return seal_load_key(path, key, why);
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    close(fd);
    return fd < 0;
}

static int drop_file(void **state)
{
    return unlink(path);
}

#ifdef HAVE_SODIUM

#define TEXT "0123456789abcdef0123456789abcdef"

static void a_key_must_be_long_and_private(void **state)
{
    struct seal_key key, same;
    char why[SEAL_WHY_BYTES];

    assert_int_equal(load(TEXT, 0600, &key, why), 0);
    assert_int_equal(load(TEXT "\n", 0400, &same, why), 0);
    assert_memory_equal(&key, &same, sizeof key);
    assert_int_equal(load(TEXT "2", 0600, &same, why), 0);
    assert_memory_not_equal(&key, &same, sizeof key);
    assert_int_equal(load("short", 0600, &key, why), -EACCES);
    assert_non_null(strstr(why, "32 to 1024 bytes"));
    assert_int_equal(load("0123456789abcdef0123456789abcde\n", 0600, &key, why), -EACCES);
    for (mode_t bit = 01; bit <= 040; bit <<= 1) {
        assert_int_equal(load(TEXT, 0600 | bit, &key, why), -EACCES);
        assert_non_null(strstr(why, "others than its owner"));
    }
    assert_int_equal(seal_load_key("/dev/null", &key, why), -EACCES);
    assert_int_equal(seal_load_key("/nowhere", &key, why), -ENOENT);
}

// Two ends that have met.
struct ends {
    struct seal *opener, *other;
};

static struct ends meet(const char *a, const char *b)
{
    uint8_t fresh[2][SEAL_FRESH_BYTES];
    char why[SEAL_WHY_BYTES];
    struct seal_key key;
    struct ends e;

    assert_int_equal(load(a, 0600, &key, why), 0);
    e.opener = seal_new(&key, true, fresh[0]);
    assert_int_equal(load(b, 0600, &key, why), 0);
    e.other = seal_new(&key, false, fresh[1]);
    assert_int_equal(seal_meet(e.opener, fresh[1]), 0);
    assert_int_equal(seal_meet(e.other, fresh[0]), 0);
    return e;
}

static void part(struct ends e)
{
    seal_free(e.opener);
    seal_free(e.other);
}

static void what_is_closed_opens_on_the_other_side_only(void **state)
{
    struct ends e = meet(TEXT, TEXT);
    uint8_t sealed[64 + SEAL_OVERHEAD_BYTES], open[sizeof sealed];

    for (int i = 0; i < 3; i++) { // the first one is longer
        size_t n = seal_close(e.opener, (const uint8_t *)"hello", 5, sealed);

        assert_int_equal(n, 5 + (i ? 17 : SEAL_OVERHEAD_BYTES));
        assert_int_equal(seal_open(e.other, sealed, n, open), 5);
        assert_memory_equal(open, "hello", 5);
    }
    assert_int_equal(seal_open(e.opener, sealed, 22, open), -EBADMSG); // its own words
    part(e);
}

static void another_key_opens_nothing(void **state)
{
    struct ends e = meet(TEXT, "another key, of as many letters at least");
    uint8_t sealed[64], open[64];
    size_t n = seal_close(e.opener, (const uint8_t *)"hello", 5, sealed);

    assert_int_equal(seal_open(e.other, sealed, n, open), -EBADMSG);
    part(e);
}

// Every single bit counts; so does the order.
static void what_was_tampered_with_does_not_open(void **state)
{
    uint8_t first[64], second[64], open[64];

    for (size_t bit = 0; bit < 8 * (5 + SEAL_OVERHEAD_BYTES); bit += 7) {
        struct ends e = meet(TEXT, TEXT);
        size_t n = seal_close(e.opener, (const uint8_t *)"hello", 5, first);

        first[bit / 8] ^= 1 << bit % 8;
        assert_int_equal(seal_open(e.other, first, n, open), -EBADMSG);
        part(e);
    }
    for (size_t cut = 1; cut <= 5 + SEAL_OVERHEAD_BYTES; cut += 9) {
        struct ends e = meet(TEXT, TEXT);
        size_t n = seal_close(e.opener, (const uint8_t *)"hello", 5, first);

        assert_int_equal(seal_open(e.other, first, n - cut, open), -EBADMSG);
        part(e);
    }
    for (int again = 0; again < 2; again++) {
        struct ends e = meet(TEXT, TEXT);
        size_t n = seal_close(e.opener, (const uint8_t *)"hello", 5, first), m;

        assert_int_equal(seal_open(e.other, first, n, open), 5);
        m = seal_close(e.opener, (const uint8_t *)"1st", 3, first);
        assert_int_equal(seal_close(e.opener, (const uint8_t *)"2nd", 3, second), m);
        if (again)
            assert_int_equal(seal_open(e.other, first, m, open), 3);
        assert_int_equal(seal_open(e.other, again ? first : second, m, open), -EBADMSG);
        part(e);
    }
}

#else

static void without_libsodium_a_key_is_an_error(void **state)
{
    char why[SEAL_WHY_BYTES];
    struct seal_key key;

    assert_int_equal(load("0123456789abcdef0123456789abcdef", 0600, &key, why), -ENOSYS);
    assert_non_null(strstr(why, "built without libsodium"));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef HAVE_SODIUM
        cmocka_unit_test(a_key_must_be_long_and_private),
        cmocka_unit_test(what_is_closed_opens_on_the_other_side_only),
        cmocka_unit_test(another_key_opens_nothing),
        cmocka_unit_test(what_was_tampered_with_does_not_open),
#else
        cmocka_unit_test(without_libsodium_a_key_is_an_error),
#endif
    };

    return cmocka_run_group_tests_name("daemon/seal", tests, make_file, drop_file);
}
