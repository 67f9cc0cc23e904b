// SPDX-License-Identifier: BSD-2-Clause
#ifndef SHUNT_TESTS_PACKET_PARSE_PACKET_H
#define SHUNT_TESTS_PACKET_PARSE_PACKET_H

#include "lex.h"
#include "script.h"

// Reads a packet from its < or > on, and fails through l where it is none.
void parse_packet(struct lex *l, struct script_packet *p);

#endif
