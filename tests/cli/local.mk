# SPDX-License-Identifier: BSD-2-Clause
CLI_TESTS = tests/cli/test_main.sh tests/cli/test_examples.sh tests/cli/test_check.sh tests/cli/test_explain.sh tests/cli/test_completion.sh
dist_check_SCRIPTS += $(CLI_TESTS)
TESTS += $(CLI_TESTS)
QUICK_TESTS += $(CLI_TESTS)
EXTRA_DIST += tests/cli/tap.sh

# two programs under Shunt: not quick
dist_check_SCRIPTS += tests/cli/test_rules_run.py tests/cli/test_require.py tests/cli/test_outcomes.py \
	tests/cli/test_short.py tests/cli/test_accepted.py
TESTS += tests/cli/test_rules_run.py tests/cli/test_require.py tests/cli/test_outcomes.py \
	tests/cli/test_short.py tests/cli/test_accepted.py
