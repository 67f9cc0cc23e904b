// SPDX-License-Identifier: BSD-2-Clause
// The sealing of what two agents say to each other, from a key that both have (libsodium: crypto_kx
// for each link's own keys, BLAKE2b to mix the shared key in, crypto_secretstream for the records).
//
// The other side is known to have the key when its first record opens. A record that was changed,
// left out, repeated or put elsewhere does not open. What was said cannot be read later by somebody
// who comes by the key.
#ifndef SHUNT_DAEMON_SEAL_H
#define SHUNT_DAEMON_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_FRESH_BYTES    32
#define SEAL_OVERHEAD_BYTES (24 + 17) // of a direction's first record; of the others 17
#define SEAL_WHY_BYTES      160

struct seal_key {
    uint8_t bytes[32];
};

// Reads the key in the file at path: 32 to 1024 bytes of any kind, a newline at the end left out.
// The file must be regular, belong to root or this user, and be of no use to anybody else. Returns
// 0, or -errno with a sentence in why.
int seal_load_key(const char *path, struct seal_key *key, char why[static SEAL_WHY_BYTES]);

struct seal; // one link's state

// Begins: fresh is what the other side is to get. NULL: no memory, or no random numbers.
struct seal *seal_new(const struct seal_key *key, bool opener, uint8_t fresh[SEAL_FRESH_BYTES]);
void seal_free(struct seal *seal); // forgets the keys; NULL is legal

// Takes what the other side sent as its fresh bytes. 0, or -EPROTO: they are no public key.
int seal_meet(struct seal *seal, const uint8_t fresh[SEAL_FRESH_BYTES]);

// Seals n bytes into out, which has room for n + SEAL_OVERHEAD_BYTES. Returns the length.
size_t seal_close(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out);

// Opens n bytes into out, which has room for n. Returns the length, or -EBADMSG.
int seal_open(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out);

#endif
