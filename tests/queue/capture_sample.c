// SPDX-License-Identifier: BSD-2-Clause
// usage: capture_sample FILE : captures 50 frames each way, of 14 to 9000 bytes, one byte value
// each, on a queue named "sample"; test_capture.py reads them back.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queue/capture.h"
#include "queue/loop.h"

#define FRAMES 50

static uint32_t length_of(int i)
{
    return 14 + (uint32_t)(i * i * 9000 / (FRAMES * FRAMES));
}

static int send_frame(struct queue *q, int i)
{
    static uint8_t bytes[10000];
    uint32_t len = length_of(i), head = len < 100 ? len : 100;
    struct iovec payload = {bytes + head, len - head};
    struct queue_out out = {
        .head = bytes, .head_bytes = (uint16_t)head, .payload = &payload, .payload_count = 1};

    memset(bytes, i, sizeof(bytes));
    if (queue_tx(q, &out, 0))
        return 1;
    return queue_kick(q, 0);
}

static int exchange(struct queue *ours, struct queue *theirs)
{
    struct queue_frame frame;

    for (int i = 0; i < FRAMES; i++) {
        if (send_frame(ours, i) || queue_rx(theirs, &frame, 1, 0) != 1)
            return 1;
        queue_release(theirs, 1);
        if (send_frame(theirs, i) || queue_rx(ours, &frame, 1, 0) != 1 ||
            queue_rx(ours, &frame, 1, 0) != 1) // looked at twice, received once
            return 1;
        queue_release(ours, 1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct queue_grant ends[2], outer;
    struct queue *ours, *theirs;
    int fd, bad;

    if (argc != 2)
        return 2;
    fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || loop_open(ends, &(struct loop_options){.mtu_bytes = 9000, .piece_bytes = 4096}) ||
        capture_grant(&outer, &ends[0], fd, "sample") || queue_attach(&ours, &outer) ||
        queue_attach(&theirs, &ends[1])) {
        perror(argv[1]);
        return 1;
    }
    queue_grant_close(&ends[0]);
    close(fd);
    bad = exchange(ours, theirs);
    queue_detach(ours);
    queue_detach(theirs);
    return bad;
}
