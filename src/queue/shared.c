// SPDX-License-Identifier: BSD-2-Clause
#include "queue/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memfd.h"
#include "base/space.h"
#include "base/sys.h"

static int map(struct queue_shared **s, int fd, uint64_t bytes)
{
    void *at = space_map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (!at)
        return -ENOMEM;
    *s = at;
    return 0;
}

int queue_shared_create(struct queue_shared **s, int *fd, const struct queue_desc *desc,
                        uint64_t bytes)
{
    int memfd = memfd_create("shunt-queue", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int err = memfd < 0 ? -errno : 0;

    if (!err)
        err = memfd_resize(memfd, bytes);
    if (!err && fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        err = -errno;
    if (!err)
        err = map(s, memfd, bytes);
    if (err) {
        if (memfd >= 0)
            sys_close(memfd);
        return err;
    }
    (*s)->magic = QUEUE_MAGIC;
    (*s)->door = desc->door;
    memcpy((*s)->ring, desc->ring, sizeof(desc->ring));
    *fd = memfd;
    return 0;
}

int queue_shared_map(struct queue_shared **s, int fd, const struct queue_desc *desc, uint64_t bytes)
{
    struct stat st;
    int err;

    if (fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size < bytes || bytes < QUEUE_PAGE)
        return -EPROTO;
    err = map(s, fd, bytes);
    if (!err && ((*s)->magic != QUEUE_MAGIC || (*s)->door != desc->door ||
                 memcmp((*s)->ring, desc->ring, sizeof(desc->ring)))) {
        queue_shared_unmap(*s, bytes);
        err = -EPROTO;
    }
    return err;
}

void queue_shared_unmap(struct queue_shared *s, uint64_t bytes)
{
    space_unmap(s, bytes);
}

int queue_out_bytes(const struct queue_out *out, const struct queue_caps *caps)
{
    uint64_t bytes = out->head_bytes;

    if (out->head_bytes > QUEUE_HEAD_MAX || out->payload_count > QUEUE_OUT_MAX)
        return -EMSGSIZE;
    for (unsigned i = 0; i < out->payload_count; i++)
        bytes += out->payload[i].iov_len;
    if (bytes > (out->gso ? caps->super_tx_bytes : caps->frame_max_bytes) || bytes < 14)
        return -EMSGSIZE;
    if (out->csum_start && (uint64_t)out->csum_start + out->csum_offset + 2 > out->head_bytes)
        return -EMSGSIZE;
    return (int)bytes;
}

void queue_out_copy(const struct queue_out *out, uint8_t *dst)
{
    memcpy(dst, out->head, out->head_bytes);
    dst += out->head_bytes;
    for (unsigned i = 0; i < out->payload_count; i++) {
        memcpy(dst, out->payload[i].iov_base, out->payload[i].iov_len);
        dst += out->payload[i].iov_len;
    }
}
