# SPDX-License-Identifier: BSD-2-Clause
FUZZERS += tests/fuzz/fuzz_policy
EXTRA_DIST += tests/fuzz/corpus/policy
tests_fuzz_fuzz_policy_SOURCES = tests/fuzz/fuzz_policy.c
tests_fuzz_fuzz_policy_LDADD = libpolicy.la $(PARSE_LIBS)
tests_fuzz_fuzz_policy_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
