// SPDX-License-Identifier: BSD-2-Clause
// Where Shunt was built without libsodium: a key is refused, and so nothing is ever sealed.
#include "daemon/seal.h"

#include <errno.h>
#include <stdio.h>

int seal_load_key(const char *path, struct seal_key *key, char why[static SEAL_WHY_BYTES])
{
    snprintf(why, SEAL_WHY_BYTES,
             "the key file %.80s cannot be used: this shuntd was built without libsodium", path);
    return -ENOSYS;
}

struct seal *seal_new(const struct seal_key *key, bool opener, uint8_t fresh[SEAL_FRESH_BYTES])
{
    return NULL;
}

void seal_free(struct seal *seal)
{
}

int seal_meet(struct seal *seal, const uint8_t fresh[SEAL_FRESH_BYTES])
{
    return -EPROTO;
}

size_t seal_close(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out)
{
    return 0;
}

int seal_open(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out)
{
    return -EBADMSG;
}
