// Node's ws, as its README has it. The words behind the port are those of options.py.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../build/', import.meta.url));
const { WebSocketServer } = require('ws');
const [port, ...words] = process.argv.slice(2);
const ping = Number(words.find((word) => word.startsWith('ping='))?.slice('ping='.length));
const server = createServer();
const maxPayload = 256 * 1024 * 1024;
const isToAll = words.includes('loop');
const perMessageDeflate = words.includes('deflate')
  && { threshold: 0, serverNoContextTakeover: isToAll, zlibDeflateOptions: { level: 1, memLevel: 8 } };
const sockets = new WebSocketServer({ server, maxPayload, perMessageDeflate });

sockets.on('connection', (ws) => {
  ws.isAlive = true;
  ws.on('pong', () => { ws.isAlive = true; });
  ws.on('message', (data, isBinary) => {
    for (const each of isToAll ? sockets.clients : [ws]) each.send(data, { binary: isBinary });
  });
});

// "How to detect and close broken connections?" in its README.
if (ping) {
  setInterval(() => {
    for (const ws of sockets.clients) {
      if (!ws.isAlive) ws.terminate();
      ws.isAlive = false;
      ws.ping();
    }
  }, ping * 1000);
}

server.listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 });
