// SPDX-License-Identifier: BSD-2-Clause
// SipHash (Aumasson and Bernstein, 2012): a keyed hash that an attacker without the key cannot
// steer.
#ifndef SHUNT_BASE_SIPHASH_H
#define SHUNT_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1;
};

// SipHash-2-4: for what must not be forged (sequence numbers, cookies).
uint64_t siphash24(const struct siphash_key *key, const void *data, size_t len);

// SipHash-1-3: for hash tables that an attacker must not fill.
uint64_t siphash13(const struct siphash_key *key, const void *data, size_t len);

#endif
