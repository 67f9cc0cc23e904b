// SPDX-License-Identifier: BSD-2-Clause
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lex.h"
#include "parse_packet.h"
#include "script.h"

// An event's time: "1.5", "+.1", "*", "1~2", "+.1~+.2"; behind them, of a call, "...TIME".
static struct when parse_when(struct lex *l)
{
    struct when w = {TIME_ABSOLUTE, 0, 0};

    if (lex_take(l, "*")) {
        w.kind = TIME_ANY;
        return w;
    }
    if (lex_take(l, "+"))
        w.kind = TIME_RELATIVE;
    w.from_ns = w.to_ns = lex_seconds(l);
    if (lex_take(l, "~")) {
        if (w.kind == TIME_RELATIVE)
            lex_take(l, "+");
        w.to_ns = lex_seconds(l);
    }
    return w;
}

static void parse_joined_words(struct lex *l, struct arg *a)
{
    size_t n;

    a->kind = ARG_WORD;
    lex_word(l, a->text, sizeof(a->text));
    while (lex_take(l, "|")) {
        n = strlen(a->text);
        a->text[n++] = '|';
        lex_word(l, a->text + n, sizeof(a->text) - n);
    }
}

static void parse_arg(struct lex *l, struct arg *a)
{
    lex_space(l);
    if (lex_take(l, "...")) {
        a->kind = ARG_ELLIPSIS;
    } else if (lex_take(l, "[")) {
        a->kind = ARG_LIST;
        lex_until(l, "]", a->text, sizeof(a->text));
    } else if (lex_take(l, "{")) {
        a->kind = ARG_LIST;
        lex_until(l, "}", a->text, sizeof(a->text));
    } else if (lex_take(l, "\"")) {
        a->kind = ARG_STRING;
        lex_until(l, "\"", a->text, sizeof(a->text));
    } else if (isdigit((unsigned char)*l->p) || *l->p == '-') {
        a->kind = ARG_NUMBER;
        a->number = lex_number(l);
    } else {
        parse_joined_words(l, a);
    }
}

static void parse_call(struct lex *l, struct script_call *c)
{
    char note[128];

    lex_word(l, c->name, sizeof(c->name));
    lex_expect(l, "(");
    while (!lex_take(l, ")")) {
        if (c->arg_count == SCRIPT_ARGS_MAX)
            lex_fail(l, "too many arguments");
        parse_arg(l, &c->args[c->arg_count++]);
        if (!lex_sees(l, ")"))
            lex_expect(l, ",");
    }
    lex_expect(l, "=");
    c->result = lex_number(l);
    lex_space(l);
    if (isupper((unsigned char)*l->p))
        lex_word(l, c->error, sizeof(c->error));
    if (lex_take(l, "("))
        lex_until(l, ")", note, sizeof(note));
}

static struct event *parse_event(struct lex *l)
{
    struct event *e = calloc(1, sizeof(*e));

    if (!e)
        lex_fail(l, "out of memory");
    e->when = parse_when(l);
    lex_space(l);
    e->line = l->line;
    if (lex_take(l, "`")) {
        e->kind = EVENT_COMMAND;
        lex_until(l, "`", e->text, sizeof(e->text));
    } else if (lex_take(l, "%{")) {
        e->kind = EVENT_CODE;
        lex_until(l, "}%", e->text, sizeof(e->text));
    } else if (lex_sees(l, "<") || lex_sees(l, ">")) {
        e->kind = EVENT_PACKET;
        parse_packet(l, &e->packet);
    } else {
        e->kind = EVENT_CALL;
        e->call.blocks = lex_take(l, "...");
        if (e->call.blocks)
            e->call.end_ns = lex_seconds(l);
        parse_call(l, &e->call);
    }
    return e;
}

static void parse_options(struct lex *l, struct script *s)
{
    struct script_option *o;

    while (lex_take(l, "--")) {
        if (s->option_count == (int)(sizeof(s->options) / sizeof(s->options[0])))
            lex_fail(l, "too many options");
        o = &s->options[s->option_count++];
        lex_word(l, o->name, sizeof(o->name));
        if (lex_take(l, "="))
            lex_word(l, o->value, sizeof(o->value));
    }
}

static void parse_all(struct lex *l, struct script *s)
{
    struct event **end = &s->first;

    parse_options(l, s);
    if (lex_take(l, "`"))
        lex_until(l, "`", s->init, sizeof(s->init));
    for (lex_space(l); *l->p; lex_space(l)) {
        *end = parse_event(l);
        end = &(*end)->next;
    }
}

static bool parsed(struct lex *l, struct script *s)
{
    if (setjmp(l->failed))
        return false;
    parse_all(l, s);
    return true;
}

struct script *script_parse(const char *text, char *error, size_t error_size)
{
    struct lex l = {.p = text, .line = 1, .error = error, .error_size = error_size};
    struct script *s = calloc(1, sizeof(*s));

    if (!s || parsed(&l, s))
        return s;
    script_free(s);
    return NULL;
}

void script_free(struct script *s)
{
    struct event *next;

    for (struct event *e = s->first; e; e = next) {
        next = e->next;
        free(e);
    }
    free(s);
}
