// SPDX-License-Identifier: BSD-2-Clause
#include "queue/csum.h"

#include <string.h>

// One's complement sum of n bytes in the machine's byte order, folded to 16 bits.
static uint32_t sum_of(const uint8_t *bytes, size_t n)
{
    uint64_t sum = 0, word;
    uint16_t last = 0;

    for (; n >= 8; bytes += 8, n -= 8) {
        memcpy(&word, bytes, 8);
        sum += word;
        sum += sum < word; // the carry comes around
    }
    for (uint16_t half; n >= 2; bytes += 2, n -= 2) {
        memcpy(&half, bytes, 2);
        sum += half;
        sum += sum < half;
    }
    if (n) {
        memcpy(&last, bytes, 1);
        sum += last;
        sum += sum < last;
    }
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

// The sum of a piece that begins at an odd distance has its bytes the other way round.
static uint32_t turned(uint32_t sum, size_t distance)
{
    return distance & 1 ? (uint16_t)(sum << 8 | sum >> 8) : sum;
}

void csum_finish(const struct queue_out *out, uint8_t *frame)
{
    size_t distance = out->head_bytes - out->csum_start;
    uint32_t sum = sum_of(frame + out->csum_start, distance);
    uint16_t field;

    for (unsigned i = 0; i < out->payload_count; i++) {
        sum += turned(sum_of(out->payload[i].iov_base, out->payload[i].iov_len), distance);
        distance += out->payload[i].iov_len;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    field = (uint16_t)~sum;
    memcpy(frame + out->csum_start + out->csum_offset, &field, sizeof(field));
}
