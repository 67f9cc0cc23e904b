// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "wire/csum.h"
#include "wire/options.h"
#include "wire/packet.h"
#include "wire/text.h"

static const struct packet_ip usual_ip = {.ttl = 64, .dont_fragment = true};

static struct segment segment_between(const char *src, const char *dst)
{
    struct segment s = {
        .src_port = 8080, .dst_port = 4242, .seq = 1000, .ack = 2000, .window = 512};

    assert_int_equal(ip_addr_parse(src, &s.src), 0);
    assert_int_equal(ip_addr_parse(dst, &s.dst), 0);
    s.flags = SEG_ACK;
    return s;
}

static void set_data(struct segment *s, const void *a, uint32_t alen, const void *b, uint32_t blen)
{
    s->len = alen + blen;
    s->data = (struct seg_data){{a, blen ? b : NULL}, {alen, blen}};
}

static void assert_same(const struct segment *a, const struct segment *b)
{
    char ta[SEGMENT_TEXT_BYTES], tb[SEGMENT_TEXT_BYTES];

    assert_string_equal(segment_text(a, 0, 0, ta), segment_text(b, 0, 0, tb));
    assert_int_equal(a->ecn, b->ecn);
    assert_int_equal(a->dscp, b->dscp);
}

static void there_and_back(const struct segment *s)
{
    uint8_t p[2048];
    struct segment got;
    size_t n = packet_emit(s, &usual_ip, p, CSUM_FULL);

    assert_int_equal(n, ip_header_bytes(&s->src) + segment_header_bytes(s) + s->len);
    assert_int_equal(packet_parse(p, n, CSUM_FULL, &got), 0);
    assert_same(s, &got);
}

static void test_there_and_back_both_families(void **state)
{
    struct segment v4 = segment_between("192.0.2.1", "192.0.2.2");
    struct segment v6 = segment_between("2001:db8::1", "2001:db8::2");

    v4.flags = SEG_ACK | SEG_PSH | SEG_URG | SEG_ECE | SEG_CWR;
    v4.urgent = 7, v4.ecn = IP_ECN_CE, v4.dscp = 46;
    set_data(&v4, "hello", 5, NULL, 0);
    there_and_back(&v4);
    v6.ecn = IP_ECN_ECT0;
    set_data(&v6, "hel", 3, "lo", 2);
    there_and_back(&v6);
}

static void test_payload_in_two_odd_pieces(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    uint8_t data[301], p[400];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (uint32_t cut = 0; cut <= sizeof(data); cut++) {
        set_data(&s, data, cut, data + cut, (uint32_t)sizeof(data) - cut);
        assert_int_equal(packet_parse(p, packet_emit(&s, &usual_ip, p, CSUM_FULL), CSUM_FULL, &got),
                         0);
        assert_int_equal(got.len, sizeof(data));
        if (cut)
            assert_memory_equal(got.data.piece[0], data, sizeof(data));
    }
}

static void test_every_bit_error_is_found(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    uint8_t p[64];
    size_t n;

    set_data(&s, "odd", 3, NULL, 0);
    n = packet_emit(&s, &usual_ip, p, CSUM_FULL);
    for (size_t bit = 0; bit < n * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(packet_parse(p, n, CSUM_FULL, &got), 0);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

// What a kernel peer on veth sends: the field holds the pseudo-header's sum only.
static void test_partial_checksum(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    uint8_t p[64];
    size_t n;

    set_data(&s, "data", 4, NULL, 0);
    n = packet_emit(&s, &usual_ip, p, CSUM_PARTIAL);
    assert_int_equal(packet_parse(p, n, CSUM_FULL, &got), -EBADMSG);
    assert_int_equal(packet_parse(p, n, CSUM_PARTIAL, &got), 0);
    n = packet_emit(&s, &usual_ip, p, CSUM_FULL);
    assert_int_equal(packet_parse(p, n, CSUM_PARTIAL, &got), 0);
    p[n - 1] ^= 1;
    assert_int_equal(packet_parse(p, n, CSUM_PARTIAL, &got), -EBADMSG);
    assert_int_equal(packet_parse(p, n, CSUM_NONE, &got), 0);
    packet_emit(&s, &usual_ip, p, CSUM_NONE);
    assert_int_equal(p[36] | p[37], 0);
}

static void test_malformed_headers(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    struct ip_header ip = {.src = s.src, .dst = s.dst};
    uint8_t p[TCP_HEADER_MAX_BYTES];

    segment_emit_header(&s, p, CSUM_NONE);
    assert_int_equal(segment_parse(&ip, p, 20, CSUM_NONE, &got), 0);
    assert_int_equal(segment_parse(&ip, p, 19, CSUM_NONE, &got), -EBADMSG);
    p[12] = 4 << 4;
    assert_int_equal(segment_parse(&ip, p, 20, CSUM_NONE, &got), -EBADMSG);
    p[12] = 6 << 4;
    assert_int_equal(segment_parse(&ip, p, 20, CSUM_NONE, &got), -EBADMSG);
    p[12] = 5 << 4;
    p[0] = p[1] = 0;
    assert_int_equal(segment_parse(&ip, p, 20, CSUM_NONE, &got), -EBADMSG);
}

static void test_no_tcp_and_fragments_are_refused(void **state)
{
    struct segment s = segment_between("2001:db8::1", "2001:db8::2"), got;
    uint8_t p[64];
    size_t n = packet_emit(&s, &usual_ip, p, CSUM_FULL);

    p[6] = 17;
    assert_int_equal(packet_parse(p, n, CSUM_FULL, &got), -EPROTONOSUPPORT);
    assert_int_equal(packet_parse(p, 3, CSUM_FULL, &got), -EBADMSG);
}

static void test_syn_options_fill_forty_bytes(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    uint8_t o[OPTIONS_MAX_BYTES];

    s.flags = SEG_SYN;
    s.opts =
        SEG_OPT_MSS | SEG_OPT_WSCALE | SEG_OPT_TS | SEG_OPT_SACK_OK | SEG_OPT_TFO | SEG_OPT_TFO_EXP;
    s.mss = 1460, s.wscale = 7, s.ts_val = 11, s.ts_ecr = 12, s.tfo_len = 16;
    memset(s.tfo, 0xab, 16);
    assert_int_equal(options_bytes(&s), 40);
    assert_int_equal(options_emit(&s, o), 40);
    got = s;
    options_parse(o, 40, &got);
    assert_same(&s, &got);
}

static void test_every_set_of_options_there_and_back(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got;
    uint8_t o[OPTIONS_MAX_BYTES];
    size_t without_sack;

    for (unsigned set = 0; set < 256; set++) {
        s.flags = SEG_SYN;
        s.opts = (uint8_t)set;
        s.mss = 536, s.wscale = 14, s.ts_val = 1, s.sack_count = 1, s.tfo_len = 4, s.uto = 0x8001;
        s.sack[0] = (struct seg_range){5, 9};
        s.opts &= (uint8_t)~SEG_OPT_SACK;
        without_sack = options_bytes(&s);
        s.opts = (uint8_t)set;
        if ((set & SEG_OPT_TFO_EXP && !(set & SEG_OPT_TFO)) || without_sack > 28)
            continue;
        got = s;
        options_parse(o, options_emit(&s, o), &got);
        assert_int_equal(got.opts, s.opts);
        assert_same(&s, &got);
    }
}

static void test_sacks_are_cut_to_what_fits(void **state)
{
    struct segment s = segment_between("192.0.2.1", "192.0.2.2"), got = s;
    uint8_t o[OPTIONS_MAX_BYTES];

    s.opts = SEG_OPT_SACK;
    s.sack_count = 4;
    for (uint32_t i = 0; i < 4; i++)
        s.sack[i] = (struct seg_range){i * 100, i * 100 + 50};
    options_parse(o, options_emit(&s, o), &got);
    assert_int_equal(got.sack_count, 4);
    s.opts |= SEG_OPT_TS;
    assert_int_equal(options_bytes(&s), 40);
    options_parse(o, options_emit(&s, o), &got);
    assert_int_equal(got.sack_count, 3);
    assert_int_equal(got.sack[2].end, 250);
}

// Options as bytes, the flags they come with, and which of them count.
struct options_row {
    const char *name;
    uint8_t flags, len, want;
    uint8_t bytes[24];
};

static void test_options_as_they_may_come(void **state)
{
    static const struct options_row rows[] = {
        {"end of list stops", SEG_SYN, 5, 0, {0, 2, 4, 5, 0xb4}},
        {"mss", SEG_SYN, 4, SEG_OPT_MSS, {2, 4, 5, 0xb4}},
        {"mss of 0", SEG_SYN, 4, 0, {2, 4, 0, 0}},
        {"mss without SYN", SEG_ACK, 4, 0, {2, 4, 5, 0xb4}},
        {"mss of wrong length", SEG_SYN, 6, 0, {2, 5, 5, 0xb4, 1, 1}},
        {"unknown, then mss", SEG_SYN, 10, SEG_OPT_MSS, {77, 6, 1, 2, 3, 4, 2, 4, 5, 0xb4}},
        {"length 0", SEG_SYN, 6, 0, {77, 0, 2, 4, 5, 0xb4}},
        {"length 1", SEG_SYN, 6, 0, {77, 1, 2, 4, 5, 0xb4}},
        {"length beyond the end", SEG_SYN, 6, SEG_OPT_SACK_OK, {4, 2, 2, 5, 5, 0xb4}},
        {"kind alone at the end", SEG_SYN, 3, SEG_OPT_SACK_OK, {4, 2, 2}},
        {"sack of no block", SEG_ACK, 2, 0, {5, 2}},
        {"sack of half a block", SEG_ACK, 6, 0, {5, 6, 0, 0, 0, 1}},
        {"one sack", SEG_ACK, 10, SEG_OPT_SACK, {5, 10, 0, 0, 0, 1, 0, 0, 0, 2}},
        {"odd cookie", SEG_SYN, 7, 0, {34, 7, 1, 2, 3, 4, 5}},
        {"short cookie", SEG_SYN, 4, 0, {34, 4, 1, 2}},
        {"cookie request", SEG_SYN, 2, SEG_OPT_TFO, {34, 2}},
        {"cookie", SEG_SYN, 6, SEG_OPT_TFO, {34, 6, 1, 2, 3, 4}},
        {"cookie without SYN", SEG_ACK, 6, 0, {34, 6, 1, 2, 3, 4}},
        {"long cookie", SEG_SYN, 20, 0, {34, 20}},
        {"experiment of others", SEG_SYN, 8, 0, {254, 8, 0xf9, 0x88, 1, 2, 3, 4}},
        {"old cookie", SEG_SYN, 8, SEG_OPT_TFO | SEG_OPT_TFO_EXP, {254, 8, 0xf9, 0x89, 1, 2, 3, 4}},
        {"empty experiment", SEG_SYN, 2, 0, {254, 2}},
        {"user timeout", SEG_ACK, 4, SEG_OPT_UTO, {28, 4, 0x80, 1}},
        {"usual timestamps", SEG_ACK, 12, SEG_OPT_TS, {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct segment s = {.flags = rows[i].flags};

        options_parse(rows[i].bytes, rows[i].len, &s);
        if (s.opts != rows[i].want)
            fail_msg("%s: %02x, want %02x", rows[i].name, s.opts, rows[i].want);
    }
}

// RFC 7323, section 2.3: a shift above 14 counts as 14.
static void test_window_scale_is_capped(void **state)
{
    static const uint8_t o[4] = {3, 3, 15, 0};
    struct segment s = {.flags = SEG_SYN};

    options_parse(o, 4, &s);
    assert_int_equal(s.wscale, 14);
}

static void test_text_is_tcpdumps(void **state)
{
    struct segment s = segment_between("192.0.2.1", "2001:db8::2");
    char text[SEGMENT_TEXT_BYTES];

    assert_string_equal(
        segment_text(&s, 0, 0, text),
        "192.0.2.1.8080 > 2001:db8::2.4242: Flags [.], ack 2000, win 512, length 0");
    s.flags = SEG_SYN | SEG_ECE | SEG_CWR;
    s.opts = SEG_OPT_MSS | SEG_OPT_SACK_OK | SEG_OPT_TS | SEG_OPT_WSCALE | SEG_OPT_TFO;
    s.mss = 1460, s.ts_val = 5, s.wscale = 7, s.tfo_len = 0;
    assert_string_equal(segment_text(&s, 1000, 0, text),
                        "192.0.2.1.8080 > 2001:db8::2.4242: Flags [SEW], seq 0, win 512, options "
                        "[mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 7,tfo  cookiereq,nop,nop], "
                        "length 0");
    s.flags = SEG_ACK | SEG_PSH | SEG_URG;
    s.urgent = 3;
    s.opts = SEG_OPT_SACK | SEG_OPT_UTO | SEG_OPT_TFO | SEG_OPT_TFO_EXP;
    s.sack_count = 1, s.sack[0] = (struct seg_range){2001, 2003}, s.uto = 1;
    s.tfo_len = 4;
    memcpy(s.tfo, "\xde\xad\xbe\xef", 4);
    set_data(&s, "abcd", 4, NULL, 0);
    assert_string_equal(segment_text(&s, 999, 1999, text),
                        "192.0.2.1.8080 > 2001:db8::2.4242: Flags [P.U], seq 1:5, ack 1, win 512, "
                        "urg 3, options [nop,nop,sack 1 {2:4},uto 0x1,tfo  cookie deadbeef], "
                        "length 4");
    s = segment_between("192.0.2.1", "192.0.2.2");
    s.flags = 0;
    s.opts = 0;
    assert_string_equal(segment_text(&s, 0, 0, text),
                        "192.0.2.1.8080 > 192.0.2.2.4242: Flags [none], win 512, length 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back_both_families),
        cmocka_unit_test(test_payload_in_two_odd_pieces),
        cmocka_unit_test(test_every_bit_error_is_found),
        cmocka_unit_test(test_partial_checksum),
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_no_tcp_and_fragments_are_refused),
        cmocka_unit_test(test_syn_options_fill_forty_bytes),
        cmocka_unit_test(test_every_set_of_options_there_and_back),
        cmocka_unit_test(test_sacks_are_cut_to_what_fits),
        cmocka_unit_test(test_options_as_they_may_come),
        cmocka_unit_test(test_window_scale_is_capped),
        cmocka_unit_test(test_text_is_tcpdumps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
