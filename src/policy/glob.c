// SPDX-License-Identifier: BSD-2-Clause
// Shell patterns. fnmatch(3) would do, but it may allocate, and it asks the locale: neither is
// right in a signal handler of somebody else's program.
#include "policy/value.h"

#include <string.h>

// Where the set that opens at p ends: its ']', or NULL. A ']' in the first place is a member.
static const char *set_end(const char *p)
{
    p++;
    if (*p == '!')
        p++;
    return *p ? strchr(p + 1, ']') : NULL;
}

// Whether c is in the set from p ('[') to end (']').
static bool set_holds(const char *p, const char *end, unsigned char c)
{
    bool negated = p[1] == '!', found = false;

    for (p += 1 + negated; p < end; p++) {
        unsigned char low = *p, high = low;

        if (p[1] == '-' && p + 2 < end) {
            high = p[2];
            p += 2;
        }
        found |= low <= c && c <= high;
    }
    return found != negated;
}

// Whether the pattern's element at p takes c; *next is the element after it.
static bool element_takes(const char *p, unsigned char c, const char **next)
{
    const char *end = *p == '[' ? set_end(p) : NULL;

    if (end) {
        *next = end + 1;
        return set_holds(p, end, c);
    }
    if (*p == '\\' && p[1])
        p++;
    else if (*p == '?')
        c = '?';
    *next = p + 1;
    return (unsigned char)*p == c;
}

bool value_glob_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL, *next;

    // one star is enough to come back to: the last one can take over what an earlier one would
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern && element_takes(pattern, *name, &next)) {
            pattern = next;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool value_glob_is_plain(const char *pattern)
{
    return !strpbrk(pattern, "*?[\\");
}

const char *value_glob_check(const char *pattern)
{
    if (!*pattern)
        return "the pattern is empty; every name is *";
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && !*++p)
            return "nothing follows the last \\";
        if (*p == '[') {
            p = set_end(p);
            if (!p)
                return "the [ has no ]";
        }
    }
    return NULL;
}
