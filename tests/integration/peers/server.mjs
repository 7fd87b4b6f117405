// Node's ws or faye-websocket as an echo server, the first argument says which: see README.
import { createServer } from 'node:http';

const [library] = process.argv.slice(2);
const { default: exported, WebSocketServer } = await import(library);
const server = createServer();

if (library === 'ws') {
  new WebSocketServer({ server }).on('connection', (ws) => {
    ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
  });
} else {
  server.on('upgrade', (request, socket, body) => {
    const ws = new exported(request, socket, body);
    ws.on('message', ({ data }) => ws.send(data));
  });
}

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
