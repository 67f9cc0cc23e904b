// SPDX-License-Identifier: BSD-2-Clause
// node echo.js server PORT: an HTTP server that sends back what it is sent.
// node echo.js client PORT: many requests at once over kept connections, every answer compared.
'use strict';
const crypto = require('crypto');
const http = require('http');

function serve(port) {
  http.createServer((request, response) => request.pipe(response)).listen(port, '127.0.0.1');
}

function ask(port, agent, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', method: 'POST', agent }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        const good = Buffer.concat(parts).equals(body);
        good ? resolve() : reject(new Error(`a body of ${body.length} bytes came back otherwise`));
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function client(port) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 10 });
  for (let round = 0; round < 8; round++) {
    const bodies = Array.from({ length: 40 }, (_, i) => crypto.randomBytes(1 + i * i * 150));
    await Promise.all(bodies.map((body) => ask(port, agent, body)));
  }
  agent.destroy();
  console.log('good');
}

const [, , role, port] = process.argv;
(role === 'server' ? serve : client)(Number(port));
