// SPDX-License-Identifier: BSD-2-Clause
#include "lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

_Noreturn void lex_fail(struct lex *l, const char *fmt, ...)
{
    int n = snprintf(l->error, l->error_size, "line %d: ", l->line);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(l->error + n, l->error_size - (size_t)n, fmt, ap);
    va_end(ap);
    longjmp(l->failed, 1);
}

static void pass(struct lex *l, size_t n)
{
    for (; n; n--)
        l->line += *l->p++ == '\n';
}

void lex_space(struct lex *l)
{
    const char *end;

    for (;;) {
        if (isspace((unsigned char)*l->p)) {
            pass(l, 1);
        } else if (!strncmp(l->p, "//", 2)) {
            pass(l, strcspn(l->p, "\n"));
        } else if (!strncmp(l->p, "/*", 2)) {
            end = strstr(l->p, "*/");
            pass(l, end ? (size_t)(end + 2 - l->p) : strlen(l->p));
        } else {
            return;
        }
    }
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool lex_sees(struct lex *l, const char *text)
{
    size_t n = strlen(text);

    lex_space(l);
    return !strncmp(l->p, text, n) && !(in_word(text[n - 1]) && in_word(l->p[n]));
}

bool lex_take(struct lex *l, const char *text)
{
    if (!lex_sees(l, text))
        return false;
    pass(l, strlen(text));
    return true;
}

void lex_expect(struct lex *l, const char *text)
{
    if (!lex_take(l, text))
        lex_fail(l, "'%s' expected before '%.20s'", text, l->p);
}

void lex_word(struct lex *l, char *out, size_t size)
{
    size_t n = 0;

    lex_space(l);
    while (in_word(l->p[n]) || l->p[n] == '.')
        n++;
    if (!n || n >= size)
        lex_fail(l, "a word expected before '%.20s'", l->p);
    memcpy(out, l->p, n);
    out[n] = 0;
    pass(l, n);
}

int64_t lex_number(struct lex *l)
{
    bool hex;
    int64_t n;
    char *end;

    lex_space(l);
    hex = !strncmp(l->p, "0x", 2);
    n = (int64_t)strtoll(l->p, &end, hex ? 16 : 10);
    if (end == l->p)
        lex_fail(l, "a number expected before '%.20s'", l->p);
    l->p = end;
    return n;
}

uint32_t lex_u32(struct lex *l)
{
    int64_t n = lex_number(l);

    if (n < 0 || n > UINT32_MAX)
        lex_fail(l, "%lld is out of range", (long long)n);
    return (uint32_t)n;
}

uint16_t lex_u16(struct lex *l)
{
    uint32_t n = lex_u32(l);

    if (n > UINT16_MAX)
        lex_fail(l, "%u is out of range", n);
    return (uint16_t)n;
}

int64_t lex_seconds(struct lex *l)
{
    int64_t whole = 0, part = 0, unit = NS_PER_S;

    lex_space(l);
    if (!isdigit((unsigned char)*l->p) && *l->p != '.')
        lex_fail(l, "a time expected before '%.20s'", l->p);
    for (; isdigit((unsigned char)*l->p); l->p++)
        whole = whole * 10 + (*l->p - '0');
    if (*l->p == '.' && isdigit((unsigned char)l->p[1]))
        for (l->p++; isdigit((unsigned char)*l->p); l->p++) {
            unit /= 10;
            part += (*l->p - '0') * unit;
        }
    return whole * (int64_t)NS_PER_S + part;
}

void lex_until(struct lex *l, const char *end, char *out, size_t size)
{
    const char *at = strstr(l->p, end);
    size_t n;

    if (!at)
        lex_fail(l, "'%s' is missing", end);
    n = (size_t)(at - l->p);
    if (n >= size)
        lex_fail(l, "too long");
    memcpy(out, l->p, n);
    out[n] = 0;
    pass(l, n + strlen(end));
}
