#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""openssl s_server with s_client and curl: TLS is only bytes to Shunt."""
import live


def body(way):
    port = live.free_port()
    data = live.some_bytes(4 << 20)
    (way.dir / "file").write_bytes(data)
    way.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"])
    way.start(["openssl", "s_server", "-accept", f"{live.HOST}:{port}", "-key", "key.pem",
               "-cert", "cert.pem", "-WWW", "-quiet"], port)
    for version in ("-tls1_2", "-tls1_3"):
        said = way.run(["openssl", "s_client", "-connect", f"{live.HOST}:{port}", "-quiet", version,
                        "-CAfile", "cert.pem", "-verify_return_error"],
                       b"GET /file HTTP/1.0\r\n\r\n")
        way.ok(said.split(b"\r\n\r\n", 1)[1] == data, f"s_client {version} gets the file")
    for _ in range(3):
        said = way.run(["curl", "-sS", "--http0.9", "--cacert", "cert.pem", "--resolve",
                        f"localhost:{port}:{live.HOST}", f"https://localhost:{port}/file"])
        way.ok(said == data, "curl gets the file")


live.both_ways(body, ["openssl", "curl"])
