// Node's faye-websocket, as its README has it.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../build/', import.meta.url));
const WebSocket = require('faye-websocket');
// The words behind the port are those of options.py.
const [port, ...words] = process.argv.slice(2);
const ping = Number(words.find((word) => word.startsWith('ping='))?.slice('ping='.length)) || null;
const server = createServer();
const maxLength = 256 * 1024 * 1024;

server.on('upgrade', (request, socket, body) => {
  const ws = new WebSocket(request, socket, body, [], { maxLength, ping });
  ws.on('message', ({ data }) => ws.send(data));
});

server.listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 });
