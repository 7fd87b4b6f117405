// Node's ws or faye-websocket, the first argument says which: see README.
import { readFileSync } from 'node:fs';

const [library, url, authority] = process.argv.slice(2);
const ca = authority && readFileSync(authority);

async function connect() {
  const { default: exported } = await import(library);
  if (library === 'ws') {
    const ws = new exported(url, { ca });
    ws.binaryType = 'nodebuffer';
    return ws;
  }
  return new exported.Client(url, [], { tls: { ca } });
}

const ws = await connect();

ws.onopen = () => ws.send('h\u00e9llo \u2603 \u{1f600}');

ws.onmessage = ({ data }) => {
  if (typeof data === 'string') {
    console.log(`text ${data}`);
    ws.send(Buffer.from(Array.from({ length: 256 }, (_, index) => index)));
  } else {
    console.log(`binary ${data.toString('hex')}`);
    ws.close(3001, 'bye');
  }
};

ws.onerror = (event) => console.error(event.message);

ws.onclose = ({ code }) => console.log(`close ${code}`);
