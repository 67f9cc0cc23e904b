// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as an IP packet: the parsers stay inside them, and what they read, written and read
// again, is the same.
#include <string.h>

#include "fuzz.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/options.h"
#include "wire/packet.h"
#include "wire/text.h"

static void again(const struct segment *s)
{
    static uint8_t bytes[PACKET_HEADER_MAX + 65536];
    struct packet_ip ip = {.ttl = 64};
    struct segment back;
    char a[SEGMENT_TEXT_BYTES], b[SEGMENT_TEXT_BYTES];
    size_t len = packet_emit(s, &ip, bytes, CSUM_FULL);

    must(len == ip_header_bytes(&s->src) + segment_header_bytes(s) + s->len);
    must(segment_header_bytes(s) <= TCP_HEADER_MAX_BYTES && segment_header_bytes(s) % 4 == 0);
    if (len - ip_header_bytes(&s->src) > 65500)
        return; // larger than an IP packet may be: its options may have grown by padding
    must(packet_parse(bytes, len, CSUM_FULL, &back) == 0);
    must(!strcmp(segment_text(s, 0, 0, a), segment_text(&back, 0, 0, b)));
    must(back.len == s->len && !memcmp(back.data.piece[0], s->data.piece[0], s->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eth_header eth;
    struct ip_header ip;
    struct icmp icmp;
    struct segment s;
    int n;

    eth_parse(data, size, &eth);
    n = ip_parse(data, size, &ip);
    if (n > 0) {
        must((size_t)n + ip.payload_bytes <= size);
        icmp_parse(&ip, data + n, ip.payload_bytes, &icmp);
    }
    ip_parse_quoted(data, size, &ip);
    if (packet_parse(data, size, CSUM_NONE, &s) == 0) {
        must(s.data.piece[0] >= data && s.data.piece[0] + s.len <= data + size);
        // padded in our way, what a sender squeezed into 40 bytes may take more
        if (options_bytes(&s) <= OPTIONS_MAX_BYTES && !(s.opts & SEG_OPT_SACK))
            again(&s);
    }
    return 0;
}
