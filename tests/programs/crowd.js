// SPDX-License-Identifier: BSD-2-Clause
// node crowd.js PORT COUNT ROUNDS: so many connections at once, on each of which a line goes out and
// comes back so many times, all side by side.
'use strict';
const net = require('net');

function talk(port, number, rounds) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let round = 0, got = '';
    const line = () => `connection ${number} round ${round}\n`;
    socket.on('connect', () => socket.write(line()));
    socket.on('error', reject);
    socket.on('data', (data) => {
      got += data;
      if (!got.endsWith('\n'))
        return;
      if (got !== line())
        reject(new Error(`got ${got}, want ${line()}`));
      got = '';
      if (++round < rounds)
        socket.write(line());
      else
        resolve(socket);
    });
  });
}

async function main(port, count, rounds) {
  const talks = Array.from({ length: count }, (_, number) => talk(port, number, rounds));
  const sockets = await Promise.all(talks);
  sockets.forEach((socket) => socket.destroy());
  console.log('good');
}

main(...process.argv.slice(2).map(Number)).catch((failure) => {
  console.error(failure);
  process.exit(1);
});
