// Node's ws as an echo server with permessage-deflate: see README.
import { WebSocketServer } from 'ws';

const perMessageDeflate = { threshold: 0 };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate }, () => console.log(server.address().port));

server.on('connection', (ws) => {
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
});
