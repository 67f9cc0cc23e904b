# SPDX-License-Identifier: BSD-2-Clause
# Python's own tests without and under Shunt.
EXTRA_DIST += tests/common/shunted.py tests/packages.txt tests/python/modules.txt \
	tests/python/outcomes.py tests/python/there.py
dist_check_SCRIPTS += tests/python/suites.py
TESTS += tests/python/suites.py
