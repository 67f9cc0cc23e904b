// SPDX-License-Identifier: BSD-2-Clause
// From frames to the engine's segments.
#include <errno.h>

#include "net/arena.h"
#include "wire/csum.h"
#include "wire/packet.h"

// A frame that turned out to be TCP for one of our addresses.
struct packet {
    const struct queue_frame *frame;
    struct ip_header ip;
    uint32_t transport; // where the TCP header begins
};

static bool is_ours(struct net *n, const struct ip_addr *a)
{
    if (likely(n->local_seq == n->tables_seq && ip_addr_equal(&n->local_ok, a)))
        return true;
    if (!net_tables_is_local(&n->arena->tables, a))
        return false;
    n->local_ok = *a;
    n->local_seq = n->tables_seq;
    return true;
}

// Ethernet and IP. Returns 0 or the counter's errno: see count_refusal().
static int parse(struct net *n, const struct queue_frame *f, struct packet *p)
{
    struct eth_header eth;
    int link = eth_parse(f->head.data, f->head.len_bytes, &eth), ip;
    bool v4;

    if (link < 0)
        return -EBADMSG;
    if (eth.type != ETH_TYPE_IP4 && eth.type != ETH_TYPE_IP6)
        return -EPROTONOSUPPORT;
    if (net_tables_link(&n->arena->tables, eth.vlan, &eth.dst) < 0)
        return -EADDRNOTAVAIL;
    // in pieces, only the first is in reach of the parser; the length is checked here then
    if (f->pieces > 1)
        ip = ip_parse_quoted(f->head.data + link, f->head.len_bytes - (uint32_t)link, &p->ip);
    else
        ip = ip_parse(f->head.data + link, f->len_bytes - (uint32_t)link, &p->ip);
    if (ip < 0)
        return ip;
    v4 = ip_addr_is_v4(&p->ip.src);
    p->transport = (uint32_t)(link + ip);
    if (v4 != (eth.type == ETH_TYPE_IP4) || p->transport + p->ip.payload_bytes > f->len_bytes ||
        p->transport > f->head.len_bytes)
        return -EBADMSG;
    if (p->ip.fragment)
        return -EMSGSIZE;
    if (p->ip.proto != IP_PROTO_TCP)
        return -EPROTONOSUPPORT;
    return is_ours(n, &p->ip.dst) ? 0 : -EADDRNOTAVAIL;
}

static void count_refusal(struct net *n, int err)
{
    switch (err) {
    case -EPROTONOSUPPORT:
        net_count(n, not_tcp);
        break;
    case -EMSGSIZE:
        net_count(n, fragments);
        break;
    case -EADDRNOTAVAIL:
        net_count(n, not_ours);
        break;
    default:
        net_count(n, bad_frames);
    }
}

static enum csum_mode csum_mode_of(const struct queue_frame *f)
{
    if (f->flags & (QUEUE_CSUM_GOOD | QUEUE_CSUM_UNFINISHED))
        return CSUM_NONE;
    return f->flags & QUEUE_CSUM_EITHER ? CSUM_PARTIAL : CSUM_FULL;
}

static void input_whole(struct net *n, const struct packet *p)
{
    const struct queue_frame *f = p->frame;
    struct segment seg;

    if (segment_parse(&p->ip, f->head.data + p->transport, p->ip.payload_bytes, csum_mode_of(f),
                      &seg)) {
        net_count(n, bad_checksums);
        return;
    }
    seg.gso_size = f->gso_size;
    tcp_input(&n->ctx, n->now_ns, &seg, &n->sink);
}

// The sum over a frame's pieces from `from` on, len bytes.
static uint16_t pieces_sum(const struct net *n, const struct queue_frame *f, uint32_t from,
                           uint32_t len)
{
    uint32_t done = 0;
    uint16_t sum = 0;

    for (unsigned i = 0; i < f->pieces && done < len; i++) {
        struct queue_piece piece = queue_piece(n->queue, f, i);
        uint32_t skip = u64_min(from, piece.len_bytes);
        uint32_t take = u64_min(piece.len_bytes - skip, len - done);

        sum = csum_join(sum, done, csum(piece.data + skip, take));
        done += take;
        from -= skip;
    }
    return sum;
}

static bool pieces_right(const struct net *n, const struct packet *p)
{
    const struct queue_frame *f = p->frame;
    enum csum_mode mode = csum_mode_of(f);
    uint16_t pseudo = ip_pseudo_sum(&p->ip.src, &p->ip.dst, IP_PROTO_TCP, p->ip.payload_bytes);
    uint16_t field;

    if (mode == CSUM_NONE)
        return true;
    memcpy(&field, f->head.data + p->transport + 16, 2);
    if (mode == CSUM_PARTIAL && field == pseudo)
        return true;
    return csum_fold((uint64_t)pseudo + pieces_sum(n, f, p->transport, p->ip.payload_bytes)) ==
           UINT16_MAX;
}

// One piece of a super-frame, as a segment of its own: only the last one has FIN and PSH, and only
// the first one CWR and URG.
static void input_piece(struct net *n, const struct segment *whole, struct queue_piece piece,
                        uint32_t done)
{
    struct segment seg = *whole;

    seg.seq += done;
    seg.len = piece.len_bytes;
    seg.data = (struct seg_data){{piece.data, NULL}, {piece.len_bytes, 0}};
    if (done + seg.len < whole->len)
        seg.flags &= (uint8_t) ~(SEG_FIN | SEG_PSH);
    if (done)
        seg.flags &= (uint8_t) ~(SEG_CWR | SEG_URG);
    tcp_input(&n->ctx, n->now_ns, &seg, &n->sink);
}

static void input_pieces(struct net *n, const struct packet *p)
{
    const struct queue_frame *f = p->frame;
    struct segment whole;
    uint32_t header, done = 0;

    // the header and its options have to lie in the first piece
    if (f->head.len_bytes - p->transport < TCP_HEADER_BYTES ||
        f->head.len_bytes - p->transport < (f->head.data[p->transport + 12] >> 4) * 4u ||
        !pieces_right(n, p) ||
        segment_parse(&p->ip, f->head.data + p->transport, p->ip.payload_bytes, CSUM_NONE,
                      &whole)) {
        net_count(n, bad_checksums);
        return;
    }
    whole.gso_size = f->gso_size;
    header = p->ip.payload_bytes - whole.len;
    for (unsigned i = 0; i < f->pieces && done <= whole.len; i++) {
        struct queue_piece piece = queue_piece(n->queue, f, i);
        uint32_t skip = i ? 0 : p->transport + header;

        if (piece.len_bytes < skip || (i && !piece.len_bytes))
            break; // nonsense in the ring: what is missing will be sent again
        piece.data += skip;
        piece.len_bytes = u64_min(piece.len_bytes - skip, whole.len - done);
        if (piece.len_bytes || !whole.len)
            input_piece(n, &whole, piece, done);
        done += piece.len_bytes;
        if (done == whole.len)
            break;
    }
}

void net_input(struct net *n, const struct queue_frame *frame)
{
    struct packet p = {.frame = frame};
    int err = parse(n, frame, &p);

    net_count(n, frames_in);
    if (unlikely(err)) {
        count_refusal(n, err);
        return;
    }
    n->arena->counters.super_in += frame->gso != QUEUE_GSO_NONE;
    if (likely(frame->pieces <= 1))
        input_whole(n, &p);
    else
        input_pieces(n, &p);
}
