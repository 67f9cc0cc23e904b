// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/csum.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/text.h"

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static void test_eth_there_and_back(void **state)
{
    struct eth_header h = {{{1, 2, 3, 4, 5, 6}}, {{7, 8, 9, 10, 11, 12}}, ETH_TYPE_IP6, 0}, got;
    uint8_t frame[18];

    assert_int_equal(eth_emit(frame, &h), 14);
    assert_int_equal(eth_parse(frame, 14, &got), 14);
    assert_memory_equal(&h, &got, sizeof(h));
    assert_int_equal(eth_parse(frame, 13, &got), -EBADMSG);
}

static void test_eth_with_a_tag(void **state)
{
    struct eth_header h = {{{1}}, {{2}}, ETH_TYPE_IP4, 0x6123}, got;
    uint8_t frame[18];

    assert_int_equal(eth_emit(frame, &h), 18);
    assert_int_equal(get_be16(frame + 12), ETH_TYPE_VLAN);
    assert_int_equal(eth_parse(frame, 18, &got), 18);
    assert_memory_equal(&h, &got, sizeof(h));
    assert_int_equal(eth_parse(frame, 17, &got), -EBADMSG);
}

// Field by field: what lies between the fields is anything.
static void assert_ip_header_equal(const struct ip_header *a, const struct ip_header *b)
{
    assert_memory_equal(&a->src, &b->src, sizeof(a->src));
    assert_memory_equal(&a->dst, &b->dst, sizeof(a->dst));
    assert_int_equal(a->proto, b->proto);
    assert_int_equal(a->tos, b->tos);
    assert_int_equal(a->ttl, b->ttl);
    assert_int_equal(a->dont_fragment, b->dont_fragment);
    assert_int_equal(a->fragment, b->fragment);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->flow_label, b->flow_label);
    assert_int_equal(a->payload_bytes, b->payload_bytes);
}

static void test_ip4_there_and_back(void **state)
{
    struct ip_header h = {.src = addr("192.0.2.1"),
                          .dst = addr("198.51.100.9"),
                          .proto = IP_PROTO_TCP,
                          .tos = 0xba,
                          .ttl = 61,
                          .dont_fragment = true,
                          .id = 0x1234,
                          .payload_bytes = 30};
    struct ip_header got;
    uint8_t p[64] = {0};

    assert_int_equal(ip_emit(p, &h), 20);
    assert_int_equal(csum_scalar(p, 20), 0xffff);
    assert_int_equal(ip_parse(p, 50, &got), 20);
    assert_ip_header_equal(&h, &got);
    assert_int_equal(ip_parse(p, 64, &got), 20); // padding of the link
    assert_int_equal(got.payload_bytes, 30);
    assert_int_equal(ip_parse(p, 49, &got), -EBADMSG);
    assert_int_equal(ip_parse_quoted(p, 49, &got), 20);
    assert_int_equal(ip_parse(p, 0, &got), -EBADMSG);
}

static void test_ip4_every_bit_error_is_found(void **state)
{
    struct ip_header h = {.src = addr("192.0.2.1"), .dst = addr("192.0.2.2"), .ttl = 64}, got;
    uint8_t p[20];

    ip_emit(p, &h);
    for (int bit = 0; bit < 160; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(ip_parse(p, 20, &got), -EBADMSG);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(ip_parse(p, 20, &got), 20);
}

// Sets 16 bits at `at` and mends the header's checksum.
static void set_and_mend(uint8_t *p, size_t at, uint16_t value, size_t header)
{
    uint16_t check;

    put_be16(p + at, value);
    put_be16(p + 10, 0);
    check = (uint16_t)~csum_scalar(p, header);
    memcpy(p + 10, &check, 2);
}

static void test_ip4_fragments_and_options(void **state)
{
    struct ip_header h = {.src = addr("192.0.2.1"), .dst = addr("192.0.2.2"), .payload_bytes = 20};
    struct ip_header got;
    uint8_t p[40];

    ip_emit(p, &h);
    set_and_mend(p, 6, 0x2000, 20); // more fragments
    assert_int_equal(ip_parse(p, 40, &got), 20);
    assert_true(got.fragment);
    set_and_mend(p, 6, 0x00b9, 20); // a later one
    assert_int_equal(ip_parse(p, 40, &got), 20);
    assert_true(got.fragment);
    set_and_mend(p, 6, 0x4000, 20);
    assert_int_equal(ip_parse(p, 40, &got), 20);
    assert_false(got.fragment);
    memset(p + 20, 1, 4); // four NOPs
    p[0] = 0x46;
    set_and_mend(p, 4, 7, 24);
    assert_int_equal(ip_parse(p, 40, &got), 24);
    assert_int_equal(got.payload_bytes, 16);
    p[0] = 0x44;
    set_and_mend(p, 4, 7, 16);
    assert_int_equal(ip_parse(p, 40, &got), -EBADMSG);
}

static void test_ip6_there_and_back(void **state)
{
    struct ip_header h = {.src = addr("2001:db8::1"),
                          .dst = addr("fe80::2:3"),
                          .proto = IP_PROTO_TCP,
                          .tos = 0x03,
                          .ttl = 64,
                          .dont_fragment = true,
                          .flow_label = 0xabcde,
                          .payload_bytes = 20};
    struct ip_header got;
    uint8_t p[60] = {0};

    assert_int_equal(ip_emit(p, &h), 40);
    assert_int_equal(ip_parse(p, 60, &got), 40);
    assert_ip_header_equal(&h, &got);
    assert_int_equal(ip_parse(p, 59, &got), -EBADMSG);
    assert_int_equal(ip_parse(p, 39, &got), -EBADMSG);
    p[0] = 0x50;
    assert_int_equal(ip_parse(p, 60, &got), -EBADMSG);
}

// RFC 4942, 2.2: an IPv6 packet that claims an IPv4 address must not pass for that host.
static void test_ip6_mapped_addresses_are_refused(void **state)
{
    struct ip_header h = {.src = addr("2001:db8::1"), .dst = addr("2001:db8::2")}, got;
    struct ip_addr mapped = addr("192.0.2.1");
    uint8_t p[40];

    ip_emit(p, &h);
    p[6] = IP_PROTO_TCP;
    assert_int_equal(ip_parse(p, 40, &got), 40);
    memcpy(p + 8, mapped.b, 16);
    assert_int_equal(ip_parse(p, 40, &got), -EBADMSG);
    memcpy(p + 8, h.src.b, 16);
    memcpy(p + 24, mapped.b, 16);
    assert_int_equal(ip_parse(p, 40, &got), -EBADMSG);
}

static void test_ip6_extension_headers(void **state)
{
    struct ip_header h = {
        .src = addr("2001:db8::1"), .dst = addr("2001:db8::2"), .payload_bytes = 44};
    struct ip_header got;
    uint8_t p[84] = {0};

    ip_emit(p, &h);        // next header 0: hop by hop
    p[40] = 60;            // then destination options
    p[48] = 43, p[49] = 1; // 16 bytes of them, then a used-up routing header of 8
    p[64] = IP_PROTO_TCP;
    assert_int_equal(ip_parse(p, 84, &got), 72);
    assert_int_equal(got.proto, IP_PROTO_TCP);
    assert_int_equal(got.payload_bytes, 12);
    p[67] = 1; // one segment left
    assert_int_equal(ip_parse(p, 84, &got), -EPROTONOSUPPORT);
    p[67] = 0;
    p[65] = 200; // longer than the packet
    assert_int_equal(ip_parse(p, 84, &got), -EBADMSG);
    p[64] = 60, p[65] = 0, p[72] = 60, p[80] = 6; // the last header is cut
    assert_int_equal(ip_parse(p, 84, &got), -EBADMSG);
}

static void test_ip6_fragments(void **state)
{
    struct ip_header h = {
        .src = addr("2001:db8::1"), .dst = addr("2001:db8::2"), .proto = 44, .payload_bytes = 20};
    struct ip_header got;
    uint8_t p[60] = {0};

    ip_emit(p, &h);
    p[40] = IP_PROTO_TCP;
    assert_int_equal(ip_parse(p, 60, &got), 48); // atomic (RFC 6946): whole after all
    assert_false(got.fragment);
    p[43] = 1; // more to come
    assert_int_equal(ip_parse(p, 60, &got), 48);
    assert_true(got.fragment);
}

// Puts an ICMP error about a TCP segment into out and its header into ip; returns its length.
static size_t make_icmp(const char *src, const char *dst, uint8_t type, uint8_t code, uint32_t word,
                        struct ip_header *ip, uint8_t *out)
{
    struct ip_header inner = {
        .src = addr(src), .dst = addr(dst), .proto = IP_PROTO_TCP, .payload_bytes = 1400};
    size_t n;
    uint16_t check, pseudo;

    *ip = (struct ip_header){.src = addr(dst), .dst = addr(src)};
    memset(out, 0, 8);
    out[0] = type, out[1] = code;
    put_be32(out + 4, word);
    n = 8 + ip_emit(out + 8, &inner);
    put_be16(out + n, 1234);
    put_be16(out + n + 2, 80);
    put_be32(out + n + 4, 0xdeadbeef);
    n += 8;
    pseudo = ip_addr_is_v4(&ip->src)
                 ? 0
                 : ip_pseudo_sum(&ip->src, &ip->dst, IP_PROTO_ICMP6, (uint32_t)n);
    check = (uint16_t)~csum_fold((uint64_t)pseudo + csum(out, n));
    memcpy(out + 2, &check, 2);
    return n;
}

struct icmp_row {
    uint8_t type, code;
    int want; // enum icmp_error, or a negative errno
};

static void check_rows(const char *src, const char *dst, const struct icmp_row *row, size_t rows)
{
    struct ip_header ip;
    struct icmp got;
    uint8_t p[128];

    for (; rows; row++, rows--) {
        size_t n = make_icmp(src, dst, row->type, row->code, 1280, &ip, p);
        int err = icmp_parse(&ip, p, n, &got);

        assert_int_equal(err ? err : (int)got.error, row->want);
        if (err)
            continue;
        assert_int_equal(got.next_mtu_bytes, got.error == ICMP_PACKET_TOO_BIG ? 1280 : 0);
        assert_int_equal(got.src_port, 1234);
        assert_int_equal(got.dst_port, 80);
        assert_int_equal(got.seq, 0xdeadbeef);
        assert_true(ip_addr_equal(&got.src, &ip.dst));
    }
}

static void test_icmp_meanings(void **state)
{
    static const struct icmp_row v4[] = {{3, 0, ICMP_NET_UNREACHABLE},
                                         {3, 1, ICMP_NET_UNREACHABLE},
                                         {3, 2, ICMP_PORT_UNREACHABLE},
                                         {3, 3, ICMP_PORT_UNREACHABLE},
                                         {3, 4, ICMP_PACKET_TOO_BIG},
                                         {3, 13, ICMP_PROHIBITED},
                                         {11, 0, ICMP_TIME_EXCEEDED},
                                         {12, 0, ICMP_PARAMETER_PROBLEM},
                                         {8, 0, -ENOMSG},
                                         {3, 99, -ENOMSG}};
    static const struct icmp_row v6[] = {{1, 0, ICMP_NET_UNREACHABLE},
                                         {1, 1, ICMP_PROHIBITED},
                                         {1, 4, ICMP_PORT_UNREACHABLE},
                                         {2, 0, ICMP_PACKET_TOO_BIG},
                                         {3, 0, ICMP_TIME_EXCEEDED},
                                         {4, 1, ICMP_PARAMETER_PROBLEM},
                                         {128, 0, -ENOMSG}};

    check_rows("192.0.2.1", "192.0.2.2", v4, sizeof(v4) / sizeof(v4[0]));
    check_rows("2001:db8::1", "2001:db8::2", v6, sizeof(v6) / sizeof(v6[0]));
}

static void test_icmp_malformed(void **state)
{
    struct ip_header ip;
    struct icmp got;
    uint8_t p[128];
    size_t n = make_icmp("192.0.2.1", "192.0.2.2", 3, 4, 1300, &ip, p);

    assert_int_equal(icmp_parse(&ip, p, 7, &got), -EBADMSG);
    p[2] ^= 1;
    assert_int_equal(icmp_parse(&ip, p, n, &got), -EBADMSG);
    n = make_icmp("192.0.2.1", "192.0.2.2", 3, 4, 1300, &ip, p);
    p[3] ^= 1, p[n - 1] ^= 1; // the same sum, other bytes
    assert_int_equal(icmp_parse(&ip, p, n, &got), 0);
    // without the quoted ports, with a right checksum
    memset(p + n - 8, 0, 8);
    p[2] = p[3] = 0;
    uint16_t check = (uint16_t)~csum(p, n - 8);
    memcpy(p + 2, &check, 2);
    assert_int_equal(icmp_parse(&ip, p, n - 8, &got), -EBADMSG);
    // about another protocol
    p[8 + 9] = 17, p[2] = p[3] = 0;
    check = (uint16_t)~csum(p, n);
    memcpy(p + 2, &check, 2);
    assert_int_equal(icmp_parse(&ip, p, n, &got), -ENOMSG);
    // quoting no IP packet
    p[8] = 0, p[2] = p[3] = 0;
    check = (uint16_t)~csum(p, n);
    memcpy(p + 2, &check, 2);
    assert_int_equal(icmp_parse(&ip, p, n, &got), -EBADMSG);
}

static void test_addr_text(void **state)
{
    char text[IP_ADDR_TEXT_BYTES];
    struct ip_addr a = addr("10.1.2.3");

    assert_true(ip_addr_is_v4(&a));
    assert_string_equal(ip_addr_text(&a, text), "10.1.2.3");
    a = addr("2001:db8:0:0:0:0:0:1");
    assert_false(ip_addr_is_v4(&a));
    assert_string_equal(ip_addr_text(&a, text), "2001:db8::1");
    assert_int_equal(ip_addr_parse("10.1.2", &a), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eth_there_and_back),
        cmocka_unit_test(test_eth_with_a_tag),
        cmocka_unit_test(test_ip4_there_and_back),
        cmocka_unit_test(test_ip4_every_bit_error_is_found),
        cmocka_unit_test(test_ip4_fragments_and_options),
        cmocka_unit_test(test_ip6_there_and_back),
        cmocka_unit_test(test_ip6_mapped_addresses_are_refused),
        cmocka_unit_test(test_ip6_extension_headers),
        cmocka_unit_test(test_ip6_fragments),
        cmocka_unit_test(test_icmp_meanings),
        cmocka_unit_test(test_icmp_malformed),
        cmocka_unit_test(test_addr_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
