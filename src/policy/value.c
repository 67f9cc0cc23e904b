// SPDX-License-Identifier: BSD-2-Clause
#include "policy/value.h"

#include <arpa/inet.h>
#include <string.h>

enum { V4_BITS = 96 }; // bits before an IPv4 address in its mapped form

// Reads a decimal number of at most max at *text and moves *text past it. -1: there is none.
static long read_number(const char **text, long max)
{
    const char *p = *text;
    long n = 0;

    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (*p - '0');
        if (n > max)
            return -1;
    }
    *text = p;
    return n;
}

const char *value_read_port(const char *text, struct port_range *out)
{
    long low, high;

    if (!strcmp(text, "*")) {
        *out = (struct port_range){0, UINT16_MAX};
        return NULL;
    }
    low = high = read_number(&text, UINT16_MAX);
    if (*text == '-') {
        text++;
        high = read_number(&text, UINT16_MAX);
    }
    if (low < 1 || high < 1 || *text)
        return "a port is 1 to 65535, a range is LOW-HIGH, any port is *";
    if (low > high)
        return "the range runs backwards";
    *out = (struct port_range){low, high};
    return NULL;
}

// Splits "[ADDR]/LEN:PORT", "[ADDR/LEN]:PORT", "ADDR/LEN:PORT" and the same without LEN or PORT.
// The parts are cut out of text in place; len and port are NULL where there is none.
static const char *split_endpoint(char *text, char **addr, char **len, char **port)
{
    char *rest = text, *close;

    *addr = text;
    if (*text == '[') {
        close = strchr(text, ']');
        if (!close)
            return "the [ has no ]";
        *addr = text + 1;
        *close = '\0';
        rest = close + 1;
        if (*rest && *rest != '/' && *rest != ':')
            return "only /LENGTH and :PORT may follow the ]";
    } else if (strchr(text, ':') != strrchr(text, ':')) {
        return "an IPv6 address goes in brackets, as in [fd00::/8]:7000";
    }
    *port = strchr(rest, ':');
    if (*port)
        *(*port)++ = '\0';
    *len = strchr(*addr, '/');
    if (*len && rest != text && *rest == '/')
        return "the length is there twice";
    if (!*len)
        *len = strchr(rest, '/');
    if (*len)
        *(*len)++ = '\0';
    return NULL;
}

static bool read_address(const char *text, bool bracketed, struct prefix *out)
{
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

    if (bracketed) {
        out->family = AF_INET6;
        return inet_pton(AF_INET6, text, out->addr) == 1;
    }
    out->family = AF_INET;
    memcpy(out->addr, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out->addr + V4_BITS / 8) == 1;
}

static const char *read_prefix(const char *addr, const char *len, bool bracketed,
                               struct prefix *out)
{
    int first = bracketed ? 0 : V4_BITS;
    long bits = 128 - first;

    *out = (struct prefix){0};
    if (!strcmp(addr, "*") && !bracketed)
        return len ? "* is every address and takes no /LENGTH" : NULL;
    if (!read_address(addr, bracketed, out))
        return bracketed ? "what is in the brackets is no IPv6 address"
               : !addr[strspn(addr, "0123456789.")]
                   ? "this is no IPv4 address"
                   : "names are not looked up; an address is 10.1.0.0/16, [fd00::/8] or *";
    if (len) {
        bits = read_number(&len, bits);
        if (bits < 0 || *len)
            return bracketed ? "the length is 0 to 128" : "the length is 0 to 32";
    }
    out->len = first + bits;
    return NULL;
}

const char *value_read_endpoint(const char *text, struct endpoint *out)
{
    char copy[128], *addr, *len, *port;
    const char *wrong;

    if (strlen(text) >= sizeof copy)
        return "too long";
    strcpy(copy, text);
    wrong = split_endpoint(copy, &addr, &len, &port);
    if (!wrong)
        wrong = read_prefix(addr, len, *text == '[', &out->prefix);
    if (!wrong)
        wrong = value_read_port(port ? port : "*", &out->port);
    return wrong;
}

// The first len bits of a and b are the same.
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned len)
{
    unsigned bytes = len / 8, bits = len % 8;

    if (memcmp(a, b, bytes))
        return false;
    return !bits || !((a[bytes] ^ b[bytes]) >> (8 - bits));
}

bool value_prefix_has_host_bits(const struct prefix *prefix)
{
    for (unsigned i = prefix->len; prefix->family && i < 128; i++)
        if (prefix->addr[i / 8] & (0x80 >> i % 8))
            return true;
    return false;
}

bool value_port_is_any(const struct port_range *range)
{
    return range->low == 0 && range->high == UINT16_MAX;
}

bool value_prefix_holds(const struct prefix *prefix, uint8_t family, const uint8_t addr[16])
{
    if (!prefix->family)
        return true;
    return prefix->family == family && same_bits(prefix->addr, addr, prefix->len);
}

bool value_port_covers(const struct port_range *outer, const struct port_range *inner)
{
    return outer->low <= inner->low && outer->high >= inner->high;
}

bool value_prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
    if (!outer->family)
        return true;
    return inner->len >= outer->len && value_prefix_holds(outer, inner->family, inner->addr);
}

bool value_ports_meet(const struct port_range *a, const struct port_range *b)
{
    return a->low <= b->high && b->low <= a->high;
}
