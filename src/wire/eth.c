// SPDX-License-Identifier: BSD-2-Clause
#include "wire/eth.h"

#include <errno.h>
#include <string.h>

#include "wire/bytes.h"

int eth_parse(const void *frame, size_t len, struct eth_header *out)
{
    const uint8_t *p = frame;

    if (len < ETH_HEADER_BYTES)
        return -EBADMSG;
    memcpy(out->dst.b, p, 6);
    memcpy(out->src.b, p + 6, 6);
    out->type = get_be16(p + 12);
    out->vlan = 0;
    if (out->type != ETH_TYPE_VLAN)
        return ETH_HEADER_BYTES;
    if (len < ETH_HEADER_BYTES + ETH_VLAN_BYTES)
        return -EBADMSG;
    out->vlan = get_be16(p + 14);
    out->type = get_be16(p + 16);
    return ETH_HEADER_BYTES + ETH_VLAN_BYTES;
}

size_t eth_emit(void *out, const struct eth_header *h)
{
    uint8_t *p = out;

    memcpy(p, h->dst.b, 6);
    memcpy(p + 6, h->src.b, 6);
    p += 12;
    if (h->vlan) {
        put_be16(p, ETH_TYPE_VLAN);
        put_be16(p + 2, h->vlan);
        p += ETH_VLAN_BYTES;
    }
    put_be16(p, h->type);
    return (size_t)(p + 2 - (uint8_t *)out);
}
