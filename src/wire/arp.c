// SPDX-License-Identifier: BSD-2-Clause
#include "wire/arp.h"

#include <errno.h>
#include <string.h>

#include "wire/bytes.h"

// hardware Ethernet, protocol IPv4, and the lengths of their addresses
static const uint8_t ethernet_ip4[6] = {0, 1, 8, 0, 6, 4};

int arp_parse(const void *data, size_t len, struct arp *out)
{
    const uint8_t *p = data;

    if (len < ARP_BYTES)
        return -EBADMSG;
    if (memcmp(p, ethernet_ip4, 6))
        return -EPROTONOSUPPORT;
    out->op = get_be16(p + 6);
    memcpy(out->sender_eth.b, p + 8, 6);
    memcpy(out->sender_ip, p + 14, 4);
    memcpy(out->target_eth.b, p + 18, 6);
    memcpy(out->target_ip, p + 24, 4);
    return 0;
}

void arp_emit(void *out, const struct arp *a)
{
    uint8_t *p = out;

    memcpy(p, ethernet_ip4, 6);
    put_be16(p + 6, a->op);
    memcpy(p + 8, a->sender_eth.b, 6);
    memcpy(p + 14, a->sender_ip, 4);
    memcpy(p + 18, a->target_eth.b, 6);
    memcpy(p + 24, a->target_ip, 4);
}
