// SPDX-License-Identifier: BSD-2-Clause
// TCP options (RFC 9293 section 3.2, and the RFCs named in segment.h): bytes to struct segment and
// back.
#ifndef SHUNT_WIRE_OPTIONS_H
#define SHUNT_WIRE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "wire/segment.h"

#define OPTIONS_MAX_BYTES 40

enum option_kind {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_OK = 4,
    OPTION_SACK = 5,
    OPTION_TS = 8,
    OPTION_UTO = 28,
    OPTION_TFO = 34,
    OPTION_EXPERIMENT = 254, // RFC 6994: two bytes say whose
};

#define OPTION_TFO_MAGIC 0xf989 // RFC 7413 appendix C.1: Fast Open before it had a number

// Reads the len bytes (0 to 40) of options of a segment whose flags are in s, and sets s->opts and
// what it names. Unknown options are passed over. An option with an impossible length ends the
// reading, as RFC 9293 MUST-7 asks for; one whose value cannot be used is passed over; MSS, window
// scale, SACK-permitted and Fast Open count only with SYN.
void options_parse(const uint8_t *options, size_t len, struct segment *s);

// The bytes that options_emit() will write: a multiple of 4, at most 40. SACK blocks that do not
// fit are not counted.
size_t options_bytes(const struct segment *s);

// Writes the options of s in the order that Linux uses, padded with NOPs to a multiple of 4, and
// returns their length.
size_t options_emit(const struct segment *s, uint8_t *out);

#endif
