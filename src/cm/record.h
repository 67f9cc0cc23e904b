// SPDX-License-Identifier: BSD-2-Clause
// What anyone may know of a connection: `shunt stat` shows these fields and no others.
//
// A process keeps its records in chunks: memfds that it maps shared and hands to shuntd, which only
// reads them. Forked children share the chunks that were made before the fork. A chunk begins with
// a struct cm_chunk, then `slots` slots of `stride` bytes each; a slot begins with a struct
// cm_record. Writers never wait for readers: a reader sees single fields torn from each other at
// worst.
#ifndef SHUNT_CM_RECORD_H
#define SHUNT_CM_RECORD_H

#include <netinet/in.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#define CM_CHUNK_MAGIC   UINT32_C(0x53484b43)
#define CM_CHUNK_VERSION 1
#define CM_LANES         4 // as enum shunt_lane: kernel, shm, rdma, tcp

#define CM_ENDPOINT_MAX_BYTES 512
#define CM_RELAY_MAX_BYTES    16384

struct cm_chunk {
    uint32_t magic, version;
    uint32_t stride; // bytes from slot to slot
    uint32_t slots;
    uint32_t first;   // bytes from the chunk's beginning to slot 0
    int32_t pid;      // of the process that made the chunk
    char program[32]; // its executable's name, cut
};

// IPv4 or IPv6 address and port in network order.
union cm_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct cm_record {
    _Atomic uint32_t used; // 0: free; else the fields below are good
    int32_t pid;           // process that uses the connection; 0 until it is used
    int32_t fd;            // lowest fd when it was made; for the reader's eye only
    uint8_t role;          // 0 client, 1 server
    _Atomic uint8_t lane_tx, lane_rx;
    char rule[32];   // name of the deciding rule, or "default"
    char reason[96]; // why it is not on the first choice; empty when it is
    uint64_t cookie; // SO_COOKIE of the socket
    union cm_addr local, remote;
    alignas(64) _Atomic uint64_t bytes_tx[CM_LANES];
    _Atomic uint64_t bytes_rx[CM_LANES];
    alignas(64) _Atomic uint64_t waits_spin, waits_sleep; // waits that ended in spinning, in sleep
    _Atomic uint32_t switches;                            // moves, both directions together
};

#endif
