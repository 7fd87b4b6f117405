// A browser's own WebSocket, run in a page by selenium: see README. The last argument takes the result.
const [url, done] = arguments;
const seen = [];
const ws = new WebSocket(url);
ws.binaryType = 'arraybuffer';

ws.onopen = () => ws.send('h\u00e9llo \u2603 \u{1f600}');

ws.onmessage = ({ data }) => {
  if (typeof data === 'string') {
    seen.push(`text ${data}`);
    ws.send(Uint8Array.from({ length: 256 }, (_, index) => index));
  } else {
    const hex = Array.from(new Uint8Array(data), (byte) => byte.toString(16).padStart(2, '0')).join('');
    seen.push(`binary ${hex}`);
    ws.close(3001, 'bye');
  }
};

ws.onclose = ({ code }) => done([...seen, `close ${code}`]);
