// SPDX-License-Identifier: BSD-2-Clause
#include "queue/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/sys.h"
#include "base/util.h"
#include "queue/wrap.h"

#define BLOCK_SECTION   UINT32_C(0x0a0d0d0a)
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET    6
#define BYTE_ORDER_MARK UINT32_C(0x1a2b3c4d)
#define LINK_ETHERNET   1
#define OPTION_END      0
#define OPTION_IF_NAME  2
#define OPTION_TSRESOL  9
#define OPTION_FLAGS    2 // of a packet
#define NANOSECONDS     9 // 10^-9
#define PIECES_MAX      24
#define RELEASE_BATCH   16

enum direction { INBOUND = 1, OUTBOUND = 2 };

// desc.ring[0] is 0: there is no state but the file.
struct capture {
    struct wrap w;
};

enum { FD_STATE, FD_FILE, FDS };

struct section {
    uint32_t type, bytes, byte_order;
    uint16_t major, minor;
    int64_t section_bytes; // -1: not told
    uint32_t bytes_again;
} __attribute__((packed));

struct interface_head {
    uint32_t type, bytes;
    uint16_t link, reserved;
    uint32_t snap_bytes;
    uint16_t resolution_option, resolution_bytes;
    uint8_t resolution, pad[3];
    uint16_t name_option, name_bytes;
} __attribute__((packed));

struct interface_tail {
    uint16_t end_option, end_bytes;
    uint32_t bytes_again;
} __attribute__((packed));

struct packet_head {
    uint32_t type, bytes, interface;
    uint32_t time_high, time_low;
    uint32_t captured_bytes, frame_bytes;
} __attribute__((packed));

struct packet_tail {
    uint16_t flags_option, flags_bytes;
    uint32_t flags;
    uint16_t end_option, end_bytes;
    uint32_t bytes_again;
} __attribute__((packed));

// The frame's bytes are iov[1] to iov[pieces]; iov has room for three more entries.
static void write_packet(int fd, struct iovec *iov, unsigned pieces, uint32_t bytes,
                         enum direction direction)
{
    static const uint8_t zeroes[4];
    uint32_t pad = -bytes & 3;
    struct packet_head head = {BLOCK_PACKET, 0, 0, 0, 0, bytes, bytes};
    struct packet_tail tail = {OPTION_FLAGS, 4, direction, OPTION_END, 0, 0};
    struct timespec now;
    uint64_t ns;

    clock_gettime(CLOCK_REALTIME, &now);
    ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    head.time_high = (uint32_t)(ns >> 32);
    head.time_low = (uint32_t)ns;
    head.bytes = tail.bytes_again = (uint32_t)(sizeof(head) + bytes + pad + sizeof(tail));
    iov[0] = (struct iovec){&head, sizeof(head)};
    iov[pieces + 1] = (struct iovec){(void *)(uintptr_t)zeroes, pad};
    iov[pieces + 2] = (struct iovec){&tail, sizeof(tail)};
    // a full disk costs the capture, not the connection
    sys_call(SYS_writev, fd, iov, pieces + 3);
}

static int file_of(const struct queue *q)
{
    return wrap_of_const(q)->grant.fd[FD_FILE];
}

static int capture_attach(struct queue **q, const struct queue_grant *grant)
{
    struct capture *c = calloc(1, sizeof(*c));
    int err;

    if (!c)
        return -ENOMEM;
    err = wrap_attach(&c->w, &queue_capture, grant, FDS, 0);
    if (err)
        free(c);
    else
        *q = &c->w.q;
    return err;
}

static void capture_detach(struct queue *q)
{
    wrap_detach(wrap_of(q));
    free(q);
}

static int capture_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    return queue_rx(wrap_of(q)->inner, frames, max, now_ns);
}

static struct queue_piece capture_piece(const struct queue *q, const struct queue_frame *frame,
                                        unsigned i)
{
    return queue_piece(wrap_of_const(q)->inner, frame, i);
}

static void write_received(struct queue *q, const struct queue_frame *frame)
{
    struct iovec iov[PIECES_MAX + 3];
    unsigned pieces = MIN(frame->pieces, PIECES_MAX);
    uint32_t bytes = 0;

    for (unsigned i = 0; i < pieces; i++) {
        struct queue_piece piece = queue_piece(wrap_of(q)->inner, frame, i);

        iov[i + 1] = (struct iovec){(void *)(uintptr_t)piece.data, piece.len_bytes};
        bytes += piece.len_bytes;
    }
    write_packet(file_of(q), iov, pieces, bytes, INBOUND);
    q->counters->rx_frames++;
    q->counters->rx_bytes += bytes;
}

// A frame is received, and written, when it is released: rx() may give it many times.
static void capture_release(struct queue *q, int n)
{
    struct queue_frame frames[RELEASE_BATCH];

    while (n > 0) {
        int some = queue_rx(wrap_of(q)->inner, frames, MIN(n, RELEASE_BATCH), 0);

        if (some <= 0)
            return;
        for (int i = 0; i < some; i++)
            write_received(q, &frames[i]);
        queue_release(wrap_of(q)->inner, some);
        n -= some;
    }
}

static int capture_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct iovec iov[1 + QUEUE_OUT_MAX + 3];
    int len = queue_out_bytes(out, q->caps), err;

    if (len < 0)
        return len;
    err = queue_tx(wrap_of(q)->inner, out, now_ns);
    if (err)
        return err;
    iov[1] = (struct iovec){(void *)(uintptr_t)out->head, out->head_bytes};
    if (out->payload_count)
        memcpy(&iov[2], out->payload, out->payload_count * sizeof(*iov));
    write_packet(file_of(q), iov, 1u + out->payload_count, (uint32_t)len, OUTBOUND);
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    return 0;
}

static int capture_kick(struct queue *q, uint64_t now_ns)
{
    return queue_kick(wrap_of(q)->inner, now_ns);
}

static int capture_wait_fd(const struct queue *q)
{
    return queue_wait_fd(wrap_of_const(q)->inner);
}

static int capture_arm(struct queue *q)
{
    return queue_arm(wrap_of(q)->inner);
}

static uint64_t capture_deadline(const struct queue *q)
{
    return queue_deadline(wrap_of_const(q)->inner);
}

const struct queue_ops queue_capture = {
    .name = "capture",
    .attach = capture_attach,
    .detach = capture_detach,
    .rx = capture_rx,
    .piece = capture_piece,
    .release = capture_release,
    .tx = capture_tx,
    .kick = capture_kick,
    .wait_fd = capture_wait_fd,
    .arm = capture_arm,
    .deadline = capture_deadline,
};

static int write_file_head(int fd, const char *name)
{
    struct section section = {BLOCK_SECTION,  sizeof(section), BYTE_ORDER_MARK, 1, 0, -1,
                              sizeof(section)};
    struct interface_head head = {
        .type = BLOCK_INTERFACE,
        .link = LINK_ETHERNET,
        .resolution_option = OPTION_TSRESOL,
        .resolution_bytes = 1,
        .resolution = NANOSECONDS,
        .name_option = OPTION_IF_NAME,
        .name_bytes = (uint16_t)strnlen(name, IFNAMSIZ),
    };
    struct interface_tail tail = {.end_option = OPTION_END};
    char padded[IFNAMSIZ + 4] = {0};
    size_t padded_bytes = (head.name_bytes + 3u) & ~3u;
    struct iovec iov[] = {{&section, sizeof(section)},
                          {&head, sizeof(head)},
                          {padded, padded_bytes},
                          {&tail, sizeof(tail)}};
    long n;

    memcpy(padded, name, head.name_bytes);
    head.bytes = tail.bytes_again = (uint32_t)(sizeof(head) + padded_bytes + sizeof(tail));
    n = sys_call(SYS_writev, fd, iov, ARRAY_LEN(iov));
    return n < 0 ? (int)n : 0;
}

int capture_grant(struct queue_grant *outer, const struct queue_grant *inner, int fd,
                  const char *name)
{
    struct queue_shared *shared;
    int copy, err;

    *outer = (struct queue_grant){.desc = {.door = QUEUE_CAPTURE}};
    err = wrap_grant(outer, inner, 0, &shared);
    if (err)
        return err;
    queue_shared_unmap(shared, WRAP_STATE_AT);
    copy = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    err = copy < 0 ? copy : write_file_head(fd, name);
    if (copy >= 0)
        outer->fd[outer->desc.fd_count++] = copy;
    if (err)
        queue_grant_close(outer);
    return err;
}
