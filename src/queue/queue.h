// SPDX-License-Identifier: BSD-2-Clause
// A raw Ethernet queue: frames in, frames out. The room knows nothing of what is in a frame.
//
// Two parts. The *owner* (owner.h) is one privileged process, shuntd: it makes the sockets,
// programs and memory, and says which flows come to the queue. The *drivers* are any processes that
// hold the queue's grant: a few file descriptors and a plain description, passed over a UNIX
// socket. A driver needs no privileges. The owner itself drives the queue, if it wants to, by the
// same attach.
//
// One driver at a time: whoever calls rx, release, tx or kick holds a lock that is the caller's
// matter (the stack's lock of src/net). All that must outlive a driver's turn lies in shared memory
// as cursors and offsets, so one process goes on where another left off, and a forked child may use
// the struct queue that it inherited. What is private to a process between calls is only what tx()
// was given since the last kick(): end every turn with kick().
//
// Nothing here blocks, and nothing takes a lock. Errors are negative errno values. Memory is shared
// with other processes of one user only; a door still checks every index that it reads from it.
#ifndef SHUNT_QUEUE_QUEUE_H
#define SHUNT_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define QUEUE_FDS_MAX   24
#define QUEUE_HEAD_MAX  192 // the longest head of a frame to send: Ethernet, IPv6, TCP and options
#define QUEUE_OUT_MAX   4   // pieces of payload of a frame to send
#define QUEUE_SUPER_MAX 65550 // no frame is longer: an Ethernet header and 64 KB of IP

enum queue_door {
    QUEUE_LOOP = 1,  // two queues joined in memory
    QUEUE_AF_PACKET, // memory-mapped packet socket with virtio-net headers
    QUEUE_AF_XDP,    // AF_XDP sockets
    QUEUE_VERBS_RAW, // IBV_QPT_RAW_PACKET
    QUEUE_FAULT,     // another queue, with frames lost, held back, doubled, damaged
    QUEUE_CAPTURE,   // another queue, its frames written to a pcapng file
    QUEUE_DOORS,
};

struct queue_caps {
    uint32_t mtu_bytes;       // the device's when the queue was opened; it may change
    uint32_t frame_max_bytes; // the longest frame, Ethernet header included, that is no super-frame
    uint32_t super_tx_bytes;  // the longest super-frame that tx() takes; 0: none
    uint32_t super_rx_bytes;  // the longest frame that rx() may give
    uint16_t batch;           // frames a kick that pay; tx() kicks by itself beyond that
    uint16_t hw_queues;       // of the device, that this queue serves
    bool tx_csum;             // an unfinished checksum is finished for nothing; false: by tx()
    bool rx_csum;             // rx() says of most frames that their checksum is good or unfinished
    bool zero_copy;           // the device reads and writes the frames in place
    bool shareable;           // false: only the process that opened the queue can drive it
    char why[192];            // how the door works here and why so, e.g. "generic mode: veth"
};

// ---- received frames ----

// None: check the checksums.
enum queue_frame_flag {
    // Checksums above IP were found good by the device or the kernel.
    QUEUE_CSUM_GOOD = 1,
    // The transport checksum was never finished: its field holds the folded sum of the pseudo
    // header, not complemented, and the frame was not on any wire. Nothing is to be checked.
    QUEUE_CSUM_UNFINISHED = 2,
    // The door cannot tell (AF_XDP): when the field equals the folded sum of the pseudo header the
    // frame is as with QUEUE_CSUM_UNFINISHED, else check it. Test that first: on virtual Ethernet
    // it
    // is the rule, the SYN included.
    QUEUE_CSUM_EITHER = 4,
};

enum queue_gso { QUEUE_GSO_NONE, QUEUE_GSO_TCP4, QUEUE_GSO_TCP6 };

struct queue_piece {
    const uint8_t *data;
    uint32_t len_bytes;
};

// A view of a frame that lies in the queue. Good until the frame is released.
struct queue_frame {
    struct queue_piece head; // the first piece: at least 1 KB of the frame, or all of it
    uint32_t len_bytes;      // of all pieces; up to caps.super_rx_bytes
    uint16_t pieces;         // 1 but for super-frames and jumbo frames of AF_XDP
    uint16_t gso_size;       // payload bytes of each segment that this frame stands for; 0: one, or
                             // not known (a frame beyond the MTU is a super-frame all the same)
    uint8_t gso;             // enum queue_gso
    uint8_t flags;           // enum queue_frame_flag
    uint32_t at;             // the door's own
};

// ---- frames to send ----

// Header bytes and, by reference, payload. The checksum: where csum_start is not 0 the 16-bit field
// at csum_start + csum_offset holds the folded sum of the pseudo header, not complemented, and is
// to be finished over everything from csum_start on. Where gso is not 0 the frame is a super-frame:
// payload of gso_size bytes a segment, checksum unfinished.
struct queue_out {
    const void *head; // head_bytes (14 to QUEUE_HEAD_MAX) of headers: all that is not payload
    const struct iovec *payload;
    uint16_t head_bytes;
    uint16_t payload_count; // 0 to QUEUE_OUT_MAX
    uint16_t csum_start, csum_offset;
    uint16_t gso_size;
    uint8_t gso; // enum queue_gso
};

// ---- counters ----

// In shared memory, written by whoever drives, read by anybody: a hint.
struct queue_counters {
    uint64_t rx_frames, rx_bytes; // released
    uint64_t tx_frames, tx_bytes; // accepted by tx()
    uint64_t tx_kicks;            // system calls, or bells, of kick()
    uint64_t tx_full;             // times that tx() said -EAGAIN
    uint64_t tx_dropped;          // frames that the kernel refused after tx() took them
    uint64_t rx_bad; // frames that did not fit the queue, or descriptors that are nonsense
};

// ---- what a driver is given ----

#define QUEUE_MAGIC UINT32_C(0x53485155) // "SHQU"

// Plain bytes; the same on both sides (one host, one build).
struct queue_desc {
    uint32_t magic;
    uint8_t door; // enum queue_door
    uint8_t side; // loop: which end; else 0
    uint8_t fd_count;
    uint8_t inner; // wrappers: enum queue_door of the queue within; else 0
    uint32_t ifindex;
    uint32_t ring[6]; // the door's own sizes
    uint64_t own[6];  // the door's own
};

// fd[0] is a memfd whose first page is struct queue_shared (shared.h).
struct queue_grant {
    struct queue_desc desc;
    int fd[QUEUE_FDS_MAX];
};

struct queue {
    const struct queue_ops *ops;
    const struct queue_caps *caps;   // in shared memory, read-only in all but the owner
    struct queue_counters *counters; // in shared memory
};

// What every door does. One global symbol a door.
struct queue_ops {
    const char *name; // as in shunt.conf: "af_packet"

    // Maps the queue of a grant whose desc names this door; fd_count is checked. On success the fds
    // belong to the queue and detach() closes them; on failure they stay the caller's. May
    // allocate; makes system calls; does not block. 0, -EPROTO (the grant does not fit its memory),
    // -ENOMEM, -EMFILE, -EOPNOTSUPP (not a shareable queue, and not opened by this process).
    int (*attach)(struct queue **q, const struct queue_grant *grant);

    // Unmaps, closes the fds, frees. Says nothing to the other drivers: the queue lives on. Frames
    // that were not kicked are lost.
    void (*detach)(struct queue *q);

    // The oldest frames that are not released, max at most (>= 1): how many, 0 where there are
    // none. Takes nothing: called again it gives the same frames again (and newer ones). The views
    // are good until release(), in this process only. In the steady state no system call.
    // -ENETDOWN: the queue is no more (device gone, owner gave it up).
    // frames: the caller's array. now_ns: CLOCK_MONOTONIC, of use to the wrappers only.
    int (*rx)(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns);

    // Piece i (0 to pieces - 1) of a frame that the last rx() gave. Never fails: len_bytes 0 where
    // the ring holds nonsense.
    struct queue_piece (*piece)(const struct queue *q, const struct queue_frame *frame, unsigned i);

    // Gives the n oldest frames back; at most as many as the last rx() gave. The only way forward.
    void (*release)(struct queue *q, int n);

    // Takes a frame to send. The head is copied; the payload must stay as it is until kick() has
    // returned. -EAGAIN: no room now, nothing was taken; call kick(), try later (wait_fd() says
    // POLLOUT where the kernel can tell, and never later than after the next kick).
    // -EMSGSIZE: longer than caps allow, or pieces beyond the limits. Any checksum may be
    // unfinished: where the door has no help for it, it sums while it copies.
    int (*tx)(struct queue *q, const struct queue_out *out, uint64_t now_ns);

    // Sends what tx() took. 0 also where some must wait: they are kept in shared memory and go with
    // a later kick, whoever makes it. -ENETDOWN (the link is down: frames may be lost), -ENXIO (the
    // device is gone).
    int (*kick)(struct queue *q, uint64_t now_ns);

    // Readable (level) while rx() would give something, for poll and epoll. Stays the queue's.
    int (*wait_fd)(const struct queue *q);

    // To sleep: arm(), look once more with rx(), then wait for wait_fd() and deadline(). Clears
    // what would keep wait_fd() readable (bells, an error from a link that went down) and tells a
    // driver that waits for a wake-up that there is room. A few system calls. Without it a wait may
    // return at once, for ever. 0, -ENETDOWN.
    int (*arm)(struct queue *q);

    // When rx() or kick() should be called though wait_fd() says nothing; CLOCK_NEVER: at no time,
    // which is what every door but the wrappers says.
    uint64_t (*deadline)(const struct queue *q);
};

// By desc.door; see queue_ops.attach. -EPROTO also for a door that is not built in.
int queue_attach(struct queue **q, const struct queue_grant *grant);

// A grant of one's own: all fds duplicated (close-on-exec), as a receiver of SCM_RIGHTS would have
// it. 0, -EMFILE; from's fds stay the caller's.
int queue_grant_dup(struct queue_grant *to, const struct queue_grant *from);

// Closes the fds of a grant that was not attached.
void queue_grant_close(struct queue_grant *grant);

static inline void queue_detach(struct queue *q)
{
    q->ops->detach(q);
}

static inline int queue_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    return q->ops->rx(q, frames, max, now_ns);
}

static inline struct queue_piece queue_piece(const struct queue *q, const struct queue_frame *frame,
                                             unsigned i)
{
    return i ? q->ops->piece(q, frame, i) : frame->head;
}

static inline void queue_release(struct queue *q, int n)
{
    q->ops->release(q, n);
}

static inline int queue_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    return q->ops->tx(q, out, now_ns);
}

static inline int queue_kick(struct queue *q, uint64_t now_ns)
{
    return q->ops->kick(q, now_ns);
}

static inline int queue_wait_fd(const struct queue *q)
{
    return q->ops->wait_fd(q);
}

static inline int queue_arm(struct queue *q)
{
    return q->ops->arm(q);
}

static inline uint64_t queue_deadline(const struct queue *q)
{
    return q->ops->deadline(q);
}

// Copies the frame's bytes from `from` on, up to n, into dst. Returns how many.
uint32_t queue_frame_copy(const struct queue *q, const struct queue_frame *frame, uint32_t from,
                          void *dst, uint32_t n);

#endif
