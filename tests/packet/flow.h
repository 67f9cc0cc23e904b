// SPDX-License-Identifier: BSD-2-Clause
// Between a script's packets and those on the wire: a script counts sequence numbers from the SYN
// of each side, and our timestamps from the first that it names. A flow keeps these origins.
#ifndef SHUNT_TESTS_PACKET_FLOW_H
#define SHUNT_TESTS_PACKET_FLOW_H

#include "script.h"
#include "wire/segment.h"

#define FLOW_TEXT_BYTES   512
#define FLOW_PACKET_BYTES 66000

struct flow {
    bool used;
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t local_isn;  // of our last SYN
    uint32_t remote_isn; // where the script's 0 lies
    bool ts_known;
    uint32_t ts_origin; // our timestamp less the one in the script
};

// A packet as it left, with its options as they lie on the wire.
struct live_packet {
    struct segment seg;
    uint8_t options[SCRIPT_OPTIONS_MAX];
    size_t options_len;
    uint64_t sent_ns;
    uint8_t bytes[FLOW_PACKET_BYTES];
    size_t len;
};

// Reads lp->bytes. Returns 0 or a negative errno (a checksum that is wrong, for one).
int live_parse(struct live_packet *lp);

// Writes the packet that the script has arrive into out (FLOW_PACKET_BYTES) and returns its length.
size_t flow_build(const struct flow *f, const struct script_packet *p, uint8_t *out);

// Writes a packet that left in the notation of the script. What `want` leaves open is left out, so
// that equal texts mean that it is as wanted. want may be NULL: everything is written.
void flow_text_live(const struct flow *f, const struct live_packet *lp,
                    const struct script_packet *want, char *out);
void flow_text_script(const struct script_packet *p, char *out);

// Takes the origin of our timestamps from a packet that the script names first.
void flow_learn_ts(struct flow *f, const struct live_packet *lp, const struct script_packet *want);

// The byte that the program sends (or the peer, with inbound) at a sequence number relative to the
// SYN.
uint8_t flow_byte(bool inbound, uint32_t relative);

// Where the payload of a packet that left is not what the program wrote: the first such relative
// sequence number; 0 where all is right.
uint32_t flow_wrong_byte(const struct flow *f, const struct live_packet *lp);

#endif
