// Node's ws with permessage-deflate: see README.
import WebSocket from 'ws';

const [url, configurations, messages] = process.argv.slice(2);

function options({ bits, context }) {
  const windows = bits ? { serverMaxWindowBits: bits, clientMaxWindowBits: bits } : {};
  return { ...windows, serverNoContextTakeover: !context, clientNoContextTakeover: !context, threshold: 0 };
}

for (const configuration of JSON.parse(configurations)) {
  let agreed = '';
  await new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { perMessageDeflate: options(configuration) });
    const waiting = JSON.parse(messages);
    ws.on('upgrade', (response) => { agreed = response.headers['sec-websocket-extensions']; });
    ws.on('open', () => waiting.forEach((message) => ws.send(message)));
    ws.on('message', (data) => {
      if (data.toString() !== waiting.shift()) reject(new Error('not what was sent'));
      if (!waiting.length) ws.close(1000);
    });
    ws.on('error', reject);
    ws.on('close', resolve);
  });
  console.log(agreed);
}
