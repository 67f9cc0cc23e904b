// SPDX-License-Identifier: BSD-2-Clause
// Numbers, acknowledgements, and what is kept: without a link, since none of it depends on one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/session.h"

static const struct flow_end nowhere;
static uint64_t all;

static struct session *begin(void)
{
    struct session *s = session_new(&nowhere, &nowhere, 7, &all);

    assert_non_null(s);
    return s;
}

static int say(struct session *s, size_t n)
{
    static uint8_t bytes[16384];
    Agt__Relay relay = AGT__RELAY__INIT;
    Agt__Frame frame;

    relay.channel_id = 1;
    relay.payload = (ProtobufCBinaryData){n, bytes};
    LINK_FRAME(&frame, RELAY, relay, &relay);
    return session_say(s, &frame, SESSION_OUT_BYTES);
}

static void frames_are_kept_until_they_are_acknowledged(void **state)
{
    struct session *s = begin();
    uint64_t one;

    assert_int_equal(say(s, 100), 0);
    one = s->out_bytes;
    for (int i = 0; i < 4; i++)
        assert_int_equal(say(s, 100), 0);
    assert_int_equal(s->sent, 5);
    assert_int_equal(s->out_bytes, 5 * one);
    assert_int_equal(all, 5 * one);
    assert_int_equal(session_acked(s, 2), 0);
    assert_int_equal(s->out_bytes, 3 * one);
    assert_int_equal(session_acked(s, 2), 0); // again: nothing
    assert_int_equal(s->out_bytes, 3 * one);
    assert_int_equal(session_acked(s, 6), -EPROTO);
    assert_int_equal(session_acked(s, 5), 0);
    assert_int_equal(s->out_bytes, 0);
    assert_true(list_empty(&s->out));
    session_free(s);
    assert_int_equal(all, 0);
}

static void a_new_link_begins_with_what_was_not_received(void **state)
{
    struct session *s = begin();

    for (int i = 0; i < 5; i++)
        assert_int_equal(say(s, 10), 0);
    s->next = &s->out; // as if a link had carried them all
    session_resume(s, 3);
    assert_true(s->known);
    assert_true(s->next == s->out.next && s->next != &s->out);
    assert_int_equal(session_acked(s, 4), 0); // also what is next
    assert_true(s->next == s->out.next && s->next != &s->out);
    assert_int_equal(session_acked(s, 5), 0);
    assert_true(s->next == &s->out);
    session_free(s);
}

static void what_comes_is_heard_once_and_in_order(void **state)
{
    struct session *s = begin();
    bool gap;

    assert_true(session_heard(s, 1, &gap));
    assert_false(session_heard(s, 1, &gap));
    assert_false(gap);
    assert_false(session_heard(s, 3, &gap));
    assert_true(gap);
    assert_true(session_heard(s, 2, &gap));
    assert_true(session_heard(s, 3, &gap));
    assert_int_equal(s->received, 3);
    assert_false(session_heard(s, UINT64_MAX, &gap));
    assert_true(gap);
    session_free(s);
}

static void what_waits_is_bounded(void **state)
{
    struct session *s = begin();
    int n = 0;

    while (say(s, 16384) == 0)
        n++;
    assert_true(n >= SESSION_OUT_BYTES / 16500 && n <= SESSION_OUT_BYTES / 16384);
    assert_int_equal(s->sent, n); // what was refused took no number
    session_reset(s);
    assert_int_equal(s->sent + s->received, 0);
    assert_int_equal(all, 0);
    assert_int_equal(say(s, 1), 0);
    session_free(s);
}

static void all_sessions_together_are_bounded(void **state)
{
    struct session *s[64];
    uint64_t before = 1;
    int n = 0;

    for (; n < 64 && all != before; n++) {
        before = all;
        s[n] = begin();
        while (say(s[n], 16384) == 0)
            ;
    }
    assert_true(n > 30 && n < 64);
    assert_true(all <= 64 << 20);
    while (n-- > 0)
        session_free(s[n]);
    assert_int_equal(all, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_kept_until_they_are_acknowledged),
        cmocka_unit_test(a_new_link_begins_with_what_was_not_received),
        cmocka_unit_test(what_comes_is_heard_once_and_in_order),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(all_sessions_together_are_bounded),
    };

    return cmocka_run_group_tests_name("daemon/session", tests, NULL, NULL);
}
