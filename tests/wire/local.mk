# SPDX-License-Identifier: BSD-2-Clause
# The tcp carrier over veth, in namespaces that go with the test: root only, else skipped.
WIRE_PY = tests/wire/carrier.py tests/wire/changes.py tests/wire/faults.py tests/wire/hostile.py \
	tests/wire/many.py tests/wire/programs.py tests/wire/python.py tests/wire/queues.py tests/wire/soak.py \
	tests/wire/users.py
EXTRA_DIST += tests/wire/rig.py tests/wire/actor.py tests/wire/streams.py
dist_check_SCRIPTS += $(WIRE_PY)
TESTS += $(WIRE_PY)
