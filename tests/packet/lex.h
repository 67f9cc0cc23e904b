// SPDX-License-Identifier: BSD-2-Clause
// The words of a script: a cursor over its text, and the smallest things that can be read there.
#ifndef SHUNT_TESTS_PACKET_LEX_H
#define SHUNT_TESTS_PACKET_LEX_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lex {
    const char *p;
    int line;
    jmp_buf failed; // where lex_fail() goes
    char *error;
    size_t error_size;
};

// Ends the reading: writes "line N: ..." to l->error.
_Noreturn void lex_fail(struct lex *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Passes over white space and comments.
void lex_space(struct lex *l);

// True, and passes over it, if text comes next (behind white space). A word must end where text
// ends.
bool lex_take(struct lex *l, const char *text);

// As lex_take(), but fails where text does not come next.
void lex_expect(struct lex *l, const char *text);

// Is text next? Passes over white space only.
bool lex_sees(struct lex *l, const char *text);

// A word of letters, digits, _ and . into out; fails where there is none, or it is longer than
// size.
void lex_word(struct lex *l, char *out, size_t size);

// A whole number, decimal or 0x..., with a sign.
int64_t lex_number(struct lex *l);
uint32_t lex_u32(struct lex *l);
uint16_t lex_u16(struct lex *l);

// A time in seconds with a fraction, as nanoseconds.
int64_t lex_seconds(struct lex *l);

// All up to `end`, which is passed over, into out.
void lex_until(struct lex *l, const char *end, char *out, size_t size);

#endif
