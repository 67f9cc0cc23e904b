# SPDX-License-Identifier: BSD-2-Clause
# Real programs, without Shunt and under it.
EXTRA_DIST += tests/programs/live.py tests/programs/nginx_conf.py tests/programs/clients.py \
	tests/programs/echo.js tests/programs/Echo.java tests/programs/crowd.js tests/programs/Crowd.java
program_tests = \
	tests/programs/redis.py tests/programs/nginx.py tests/programs/memcached.py \
	tests/programs/haproxy.py tests/programs/postgres.py tests/programs/iperf3.py \
	tests/programs/http_server.py tests/programs/node.py tests/programs/java.py \
	tests/programs/socat.py tests/programs/openssl.py tests/programs/sshd.py tests/programs/crowd.py
dist_check_SCRIPTS += $(program_tests)
TESTS += $(program_tests)
