// SPDX-License-Identifier: BSD-2-Clause
// A packet script as data. The notation is packetdrill's: socket calls with what they return,
// segments that arrive (<) and that must leave (>), each at its time; docs/packet-scripts.md tells
// what of it is understood.
#ifndef SHUNT_TESTS_PACKET_SCRIPT_H
#define SHUNT_TESTS_PACKET_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_OPTIONS_MAX 40
#define SCRIPT_ARGS_MAX    8
#define SCRIPT_WORD_MAX    64
#define SCRIPT_CODE_MAX    1024
#define ECN_ANY            0xff

enum time_kind {
    TIME_ABSOLUTE, // since the start of the script
    TIME_RELATIVE, // since the event before
    TIME_ANY,      // whenever it comes
};

struct when {
    enum time_kind kind;
    int64_t from_ns, to_ns; // the same for a point in time
};

// A segment, or an ICMP error that quotes one. Sequence numbers as written: relative to the SYN.
struct script_packet {
    bool inbound, icmp;
    bool has_ack, has_window, has_ports, any_options;
    uint8_t flags, ecn, tos; // ecn: ECN_ANY where it is not written; tos counts with has_tos
    bool has_tos;
    uint16_t src_port, dst_port, window, urgent;
    uint32_t seq, len, ack;
    uint8_t options[SCRIPT_OPTIONS_MAX]; // as on the wire, with numbers as written
    uint8_t options_len;
    uint8_t icmp4[2], icmp6[2]; // type and code in either family
    uint32_t mtu;
};

enum arg_kind {
    ARG_NUMBER,
    ARG_WORD, // a constant by name, or several joined by |
    ARG_ELLIPSIS,
    ARG_STRING,
    ARG_LIST, // [ ... ] as it is written, without the brackets
};

struct arg {
    enum arg_kind kind;
    int64_t number;
    char text[SCRIPT_WORD_MAX];
};

struct script_call {
    char name[SCRIPT_WORD_MAX];
    struct arg args[SCRIPT_ARGS_MAX];
    int arg_count;
    bool blocks;    // written with "...TIME": it returns at that time
    int64_t end_ns; // of the kind of the event's time
    int64_t result;
    char error[SCRIPT_WORD_MAX]; // "EAGAIN", or empty
};

enum event_kind { EVENT_PACKET, EVENT_CALL, EVENT_COMMAND, EVENT_CODE };

struct event {
    struct event *next;
    int line;
    struct when when;
    enum event_kind kind;
    union {
        struct script_packet packet;
        struct script_call call;
        char text[SCRIPT_CODE_MAX]; // of a command or of code
    };
};

// One "--name=value" line from the top of the script.
struct script_option {
    char name[SCRIPT_WORD_MAX], value[SCRIPT_WORD_MAX];
};

struct script {
    struct script_option options[16];
    int option_count;
    char init[SCRIPT_CODE_MAX]; // the commands before the first event
    struct event *first;
};

// Reads a script from text. Returns it, or NULL with the reason and the line in error (error_size
// bytes).
struct script *script_parse(const char *text, char *error, size_t error_size);
void script_free(struct script *s);

#endif
