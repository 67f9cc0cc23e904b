// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/seal.h"

#include "base/err.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MIN_BYTES 32
#define KEY_MAX_BYTES 1024
#define HEADER_BYTES  crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define TAG_BYTES     crypto_secretstream_xchacha20poly1305_ABYTES

_Static_assert(HEADER_BYTES + TAG_BYTES == SEAL_OVERHEAD_BYTES, "as the header says");
_Static_assert(crypto_kx_PUBLICKEYBYTES == SEAL_FRESH_BYTES, "as the header says");

struct direction {
    uint8_t key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    bool begun;
    crypto_secretstream_xchacha20poly1305_state state;
};

struct seal {
    struct seal_key shared;
    bool opener;
    uint8_t public[crypto_kx_PUBLICKEYBYTES], secret[crypto_kx_SECRETKEYBYTES];
    struct direction tx, rx;
};

// ---- the key's file ----

// NULL, or what is wrong with the file.
static const char *check_file(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "it is no regular file";
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "it belongs to another user";
    if (st->st_mode & 077)
        return "others than its owner may use it (chmod 600 helps)";
    if (st->st_size < KEY_MIN_BYTES || st->st_size > KEY_MAX_BYTES)
        return "its length is not 32 to 1024 bytes";
    return NULL;
}

static const char *read_key(int fd, struct seal_key *key)
{
    uint8_t text[KEY_MAX_BYTES];
    struct stat st;
    const char *wrong = fstat(fd, &st) ? "it cannot be looked at" : check_file(&st);
    ssize_t n = wrong ? 0 : read(fd, text, sizeof text);

    if (n > 0 && text[n - 1] == '\n')
        n--;
    if (!wrong && n < KEY_MIN_BYTES)
        wrong = "its length is not 32 to 1024 bytes";
    if (!wrong)
        crypto_generichash(key->bytes, sizeof key->bytes, text, (size_t)n, NULL, 0);
    sodium_memzero(text, sizeof text);
    return wrong;
}

int seal_load_key(const char *path, struct seal_key *key, char why[static SEAL_WHY_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = -errno;
    const char *wrong;

    if (fd < 0) {
        snprintf(why, SEAL_WHY_BYTES, "the key file %.80s: %s", path, err_text(err));
        return err;
    }
    wrong = sodium_init() < 0 ? "libsodium does not work here" : read_key(fd, key);
    close(fd);
    if (wrong)
        snprintf(why, SEAL_WHY_BYTES, "the key file %.80s: %s", path, wrong);
    return wrong ? -EACCES : 0;
}

// ---- a link ----

struct seal *seal_new(const struct seal_key *key, bool opener, uint8_t fresh[SEAL_FRESH_BYTES])
{
    struct seal *seal = calloc(1, sizeof *seal);

    if (!seal)
        return NULL;
    seal->shared = *key;
    seal->opener = opener;
    crypto_kx_keypair(seal->public, seal->secret);
    memcpy(fresh, seal->public, sizeof seal->public);
    return seal;
}

void seal_free(struct seal *seal)
{
    if (seal)
        sodium_memzero(seal, sizeof *seal);
    free(seal);
}

// Mixes what both know into the key of one direction: who lacks the shared key comes by another
// one.
static void mix(const struct seal *seal, const uint8_t *other, uint8_t key[32])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, seal->shared.bytes, sizeof seal->shared.bytes, 32);
    crypto_generichash_update(&state, (const uint8_t *)"shunt agent 1", 13);
    crypto_generichash_update(&state, seal->opener ? seal->public : other, SEAL_FRESH_BYTES);
    crypto_generichash_update(&state, seal->opener ? other : seal->public, SEAL_FRESH_BYTES);
    crypto_generichash_update(&state, key, 32);
    crypto_generichash_final(&state, key, 32);
}

int seal_meet(struct seal *seal, const uint8_t fresh[SEAL_FRESH_BYTES])
{
    int err = seal->opener ? crypto_kx_client_session_keys(seal->rx.key, seal->tx.key, seal->public,
                                                           seal->secret, fresh)
                           : crypto_kx_server_session_keys(seal->rx.key, seal->tx.key, seal->public,
                                                           seal->secret, fresh);

    if (err)
        return -EPROTO;
    mix(seal, fresh, seal->rx.key);
    mix(seal, fresh, seal->tx.key);
    sodium_memzero(seal->secret, sizeof seal->secret);
    return 0;
}

size_t seal_close(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out)
{
    struct direction *d = &seal->tx;
    size_t at = 0;

    if (!d->begun) {
        crypto_secretstream_xchacha20poly1305_init_push(&d->state, out, d->key);
        d->begun = true;
        at = HEADER_BYTES;
    }
    crypto_secretstream_xchacha20poly1305_push(&d->state, out + at, NULL, bytes, n, NULL, 0, 0);
    return at + n + TAG_BYTES;
}

int seal_open(struct seal *seal, const uint8_t *bytes, size_t n, uint8_t *out)
{
    struct direction *d = &seal->rx;
    unsigned long long len = 0;
    size_t at = d->begun ? 0 : HEADER_BYTES;
    uint8_t tag;

    if (n < at + TAG_BYTES)
        return -EBADMSG;
    if (!d->begun && crypto_secretstream_xchacha20poly1305_init_pull(&d->state, bytes, d->key))
        return -EBADMSG;
    d->begun = true;
    if (crypto_secretstream_xchacha20poly1305_pull(&d->state, out, &len, &tag, bytes + at, n - at,
                                                   NULL, 0))
        return -EBADMSG;
    return (int)len;
}
