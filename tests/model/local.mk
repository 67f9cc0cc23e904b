# SPDX-License-Identifier: BSD-2-Clause
# Protocols checked by spin.
dist_check_SCRIPTS += tests/model/moves.sh
EXTRA_DIST += tests/model/moves.pml
TESTS += tests/model/moves.sh
