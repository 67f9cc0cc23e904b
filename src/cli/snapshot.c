// SPDX-License-Identifier: BSD-2-Clause
#include "cli/snapshot.h"

#include "base/addrtext.h"
#include "base/util.h"
#include "cm/ask.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// ---- taking ----

static void add_row(void *arg, const char *program, const struct cm_record *rec)
{
    struct snapshot *s = arg;

    if (s->n_rows == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct snapshot_row *rows =
            aligned_alloc(_Alignof(struct snapshot_row), room * sizeof *rows);

        if (!rows)
            return; // shows what there is memory for
        if (s->n_rows)
            memcpy(rows, s->rows, s->n_rows * sizeof *rows);
        free(s->rows);
        s->rows = rows;
        s->room = room;
    }
    snprintf(s->rows[s->n_rows].program, sizeof s->rows->program, "%s", program);
    s->rows[s->n_rows++].rec = *rec;
}

static void set_counter(void *arg, const char *name, uint64_t value)
{
    struct snapshot *s = arg;

    for (int i = 0; i < COUNTERS; i++)
        if (!strcmp(counter_texts[i].name, name))
            s->count[i] = value;
}

static int by_process(const void *a, const void *b)
{
    const struct cm_record *x = &((const struct snapshot_row *)a)->rec;
    const struct cm_record *y = &((const struct snapshot_row *)b)->rec;

    return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
                            : (x->fd > y->fd) - (x->fd < y->fd);
}

int snapshot_take(struct snapshot *s, int sock, uint64_t deadline_ns)
{
    const struct ask_stat stat = {add_row, set_counter, s};
    int err;

    s->n_rows = 0;
    memset(s->count, 0, sizeof s->count);
    err = ask_stat(sock, &stat, deadline_ns);
    if (s->n_rows)
        qsort(s->rows, s->n_rows, sizeof *s->rows, by_process);
    return err;
}

void snapshot_free(struct snapshot *s)
{
    free(s->rows);
    memset(s, 0, sizeof *s);
}

// ---- for people ----

// 999, 1.2K, 34M, 5.6G: at most 4 characters up to 999 P.
static void bytes_text(uint64_t n, char text[static 8])
{
    static const char units[] = " KMGTPE";
    double v = (double)n;
    int unit = 0;

    for (; v >= 999.5; unit++)
        v /= 1000;
    if (!unit)
        snprintf(text, 8, "%u", (unsigned)n);
    else
        snprintf(text, 8, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
}

// A line that grows to the right and is cut at the terminal's edge.
struct line {
    char text[512];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line->text + line->len, sizeof line->text - line->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        line->len = MIN(line->len + (size_t)n, sizeof line->text - 1);
}

static void end_line(struct line *line, FILE *out, size_t width)
{
    size_t len = width && line->len > width ? width : line->len;

    while (len && line->text[len - 1] == ' ')
        len--;
    fprintf(out, "%.*s\n", (int)len, line->text);
    line->len = 0;
}

enum { PROGRAM, PID, FD, ROLE, LOCAL, REMOTE, OUT, IN, RULE, COLUMNS };

struct cells {
    char text[COLUMNS][ADDR_TEXT_BYTES];
};

static const struct cells heads = {{[PROGRAM] = "PROGRAM",
                                    [PID] = "PID",
                                    [FD] = "FD",
                                    [ROLE] = "ROLE",
                                    [LOCAL] = "LOCAL",
                                    [REMOTE] = "REMOTE",
                                    [OUT] = "OUT",
                                    [IN] = "IN",
                                    [RULE] = "RULE"}};

static void fill_cells(const struct snapshot_row *row, struct cells *cells)
{
    const struct cm_record *rec = &row->rec;

    snprintf(cells->text[PROGRAM], ADDR_TEXT_BYTES, "%s", row->program);
    snprintf(cells->text[PID], ADDR_TEXT_BYTES, "%d", rec->pid);
    snprintf(cells->text[FD], ADDR_TEXT_BYTES, "%d", rec->fd);
    snprintf(cells->text[ROLE], ADDR_TEXT_BYTES, "%s", rec->role ? "server" : "client");
    addr_text(&rec->local.sa, cells->text[LOCAL]);
    addr_text(&rec->remote.sa, cells->text[REMOTE]);
    snprintf(cells->text[OUT], ADDR_TEXT_BYTES, "%s", cm_lane_name(rec->lane_tx));
    snprintf(cells->text[IN], ADDR_TEXT_BYTES, "%s", cm_lane_name(rec->lane_rx));
    snprintf(cells->text[RULE], ADDR_TEXT_BYTES, "%s", rec->rule);
}

static void widen(int width[static COLUMNS], const struct cells *cells)
{
    for (int i = 0; i < COLUMNS; i++)
        width[i] = MAX(width[i], (int)strlen(cells->text[i]));
}

static void put_cells(struct line *line, const struct cells *cells, const int width[static COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++) {
        bool right = i == PID || i == FD;

        put(line, "%*s ", right ? width[i] : -width[i], cells->text[i]);
    }
}

static void put_bytes(struct line *line, const char *way, const _Atomic uint64_t bytes[CM_LANES])
{
    bool any = false;
    char text[8];

    put(line, "  %s", way);
    for (int i = 0; i < CM_LANES; i++) {
        if (!bytes[i])
            continue;
        bytes_text(bytes[i], text);
        put(line, "%s %s %s", any ? "," : "", text, cm_lane_name((unsigned)i));
        any = true;
    }
    if (!any)
        put(line, " nothing");
}

static void print_details(const struct cm_record *rec, FILE *out, size_t width)
{
    struct line line = {.len = 0};

    put_bytes(&line, "out", rec->bytes_tx);
    put_bytes(&line, "in", rec->bytes_rx);
    put(&line, "  switches %u  waits %llu spun, %llu slept", rec->switches,
        (unsigned long long)rec->waits_spin, (unsigned long long)rec->waits_sleep);
    end_line(&line, out, width);
    if (!rec->reason[0])
        return;
    put(&line, "  because %s", rec->reason);
    end_line(&line, out, width);
}

static void print_counters(const struct snapshot *s, FILE *out, size_t width)
{
    struct line line = {.len = 0};
    uint64_t refused = 0;
    char bytes[8];

    for (int i = COUNT_REFUSED_BAD_MESSAGE; i < COUNTERS; i++)
        refused += s->count[i];
    bytes_text(s->count[COUNT_RING_BYTES], bytes);
    put(&line, "shuntd: %llu clients, %llu channels, %s ring bytes, %llu claims waiting, ",
        (unsigned long long)s->count[COUNT_CLIENTS], (unsigned long long)s->count[COUNT_CHANNELS],
        bytes, (unsigned long long)s->count[COUNT_CLAIMS]);
    put(&line, "%llu matched, %llu refused", (unsigned long long)s->count[COUNT_MATCHES_TOTAL],
        (unsigned long long)refused);
    end_line(&line, out, width);
    for (int i = COUNT_REFUSED_BAD_MESSAGE; i < COUNTERS; i++) {
        if (!s->count[i])
            continue;
        put(&line, "  %llu %s", (unsigned long long)s->count[i], counter_texts[i].text);
        end_line(&line, out, width);
    }
}

void snapshot_print(const struct snapshot *s, FILE *out, size_t width)
{
    int widths[COLUMNS] = {0};
    struct line line = {.len = 0};
    struct cells cells;

    widen(widths, &heads);
    for (size_t i = 0; i < s->n_rows; i++) {
        fill_cells(&s->rows[i], &cells);
        widen(widths, &cells);
    }
    put_cells(&line, &heads, widths);
    end_line(&line, out, width);
    for (size_t i = 0; i < s->n_rows; i++) {
        fill_cells(&s->rows[i], &cells);
        put_cells(&line, &cells, widths);
        end_line(&line, out, width);
        print_details(&s->rows[i].rec, out, width);
    }
    print_counters(s, out, width);
}

// ---- for programs ----

static json_t *lanes_json(const _Atomic uint64_t bytes[CM_LANES])
{
    json_t *o = json_object();

    for (int i = 0; i < CM_LANES; i++)
        json_object_set_new(o, cm_lane_name((unsigned)i), json_integer((json_int_t)bytes[i]));
    return o;
}

// The names are those of connection_texts; a test holds the two together.
static json_t *row_json(const struct snapshot_row *row)
{
    const struct cm_record *rec = &row->rec;
    char local[ADDR_TEXT_BYTES], remote[ADDR_TEXT_BYTES];

    addr_text(&rec->local.sa, local);
    addr_text(&rec->remote.sa, remote);
    return json_pack("{ss si si ss ss ss ss ss ss ss so so sI sI sI sI}", "program", row->program,
                     "pid", rec->pid, "fd", rec->fd, "role", rec->role ? "server" : "client",
                     "local", local, "remote", remote, "lane_tx", cm_lane_name(rec->lane_tx),
                     "lane_rx", cm_lane_name(rec->lane_rx), "rule", rec->rule, "reason",
                     rec->reason, "bytes_tx", lanes_json(rec->bytes_tx), "bytes_rx",
                     lanes_json(rec->bytes_rx), "switches", (json_int_t)rec->switches, "waits_spin",
                     (json_int_t)rec->waits_spin, "waits_sleep", (json_int_t)rec->waits_sleep,
                     "cookie", (json_int_t)rec->cookie);
}

int snapshot_print_json(const struct snapshot *s, FILE *out, int compact)
{
    json_t *connections = json_array(), *shuntd = json_object(), *all;
    int err;

    for (size_t i = 0; i < s->n_rows; i++)
        json_array_append_new(connections, row_json(&s->rows[i]));
    for (int i = 0; i < COUNTERS; i++)
        json_object_set_new(shuntd, counter_texts[i].name, json_integer((json_int_t)s->count[i]));
    all = json_pack("{so so}", "connections", connections, "shuntd", shuntd);
    if (!all)
        return -ENOMEM;
    err = json_dumpf(all, out, compact ? JSON_COMPACT : JSON_INDENT(2));
    json_decref(all);
    fputc('\n', out);
    return err ? -EIO : 0;
}
