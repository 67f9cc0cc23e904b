#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""1,000 connections at once to an asyncio server: from asyncio, from node, from java.

usage: crowd.py                             the test
       crowd.py server PORT                 an asyncio server that sends back what it is sent
       crowd.py client PORT COUNT ROUNDS    the asyncio client
"""
import asyncio
import shutil
import sys

import live

COUNT = 1000
ROUNDS = (20, 100, 500)  # the next one where not all connections were moved
BACKLOG = 2 * COUNT


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(port):
    server = await asyncio.start_server(echo, live.HOST, port, backlog=BACKLOG)
    await server.serve_forever()


async def talk(port, number, rounds, all_done):
    reader, writer = await asyncio.open_connection(live.HOST, port)
    for turn in range(rounds):
        line = b"connection %d round %d\n" % (number, turn)
        writer.write(line)
        got = await reader.readline()
        assert got == line, (got, line)
    await all_done.wait()
    writer.close()
    await writer.wait_closed()


class Barrier:  # asyncio has one since Python 3.11
    def __init__(self, count):
        self.left = count
        self.event = asyncio.Event()

    async def wait(self):
        self.left -= 1
        if not self.left:
            self.event.set()
        await self.event.wait()


async def crowd(port, count, rounds):
    all_done = Barrier(count)
    await asyncio.gather(*(talk(port, number, rounds, all_done) for number in range(count)))
    print("good")


def body(way):
    port = live.free_port()
    python = ["/usr/bin/python3", __file__]
    way.start([*python, "server", port], port)
    clients = {"asyncio": [*python, "client"], "node": ["node", live.HERE / "crowd.js"]}
    if shutil.which("javac"):
        way.run(["javac", "-d", way.dir, live.HERE / "Crowd.java"], seconds=90)
        clients["java"] = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", way.dir, "Crowd"]
    for name, command in clients.items():
        for rounds in ROUNDS:  # on a busy machine shuntd may come to them late
            before = way.shunt.channels_made() if way.shunt else 0
            said = way.run([*command, port, COUNT, rounds], seconds=120)
            moved = way.shunt and way.shunt.channels_made() - before == COUNT
            if moved or not way.shunt or said != b"good\n":
                break
        way.ok(said == b"good\n", f"{name}: {COUNT} connections get back what they send")
        if way.shunt:
            way.ok(moved, f"{name}: and all are moved")


def main():
    if sys.argv[1:2] == ["server"]:
        asyncio.run(serve(int(sys.argv[2])))
    elif sys.argv[1:2] == ["client"]:
        asyncio.run(crowd(*map(int, sys.argv[2:])))
    else:
        live.both_ways(body, ["node"])


main()
