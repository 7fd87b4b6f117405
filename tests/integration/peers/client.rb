# Ruby's faye-websocket, as Debian packages it: see README.
require 'faye/websocket'
require 'eventmachine'

url, authority = ARGV
$stdout.sync = true

EM.run do
  ws = Faye::WebSocket::Client.new(url, nil, tls: authority ? { root_cert_file: authority } : {})

  ws.on(:open) { ws.send("h\u00e9llo \u2603 \u{1f600}") }

  ws.on(:message) do |event|
    if event.data.is_a?(String)
      puts "text #{event.data}"
      ws.send((0..255).to_a)
    else
      puts "binary #{event.data.pack('C*').unpack1('H*')}"
      ws.close(3001, 'bye')
    end
  end

  ws.on(:error) { |event| warn event.message }

  ws.on(:close) do |event|
    puts "close #{event.code}"
    EM.stop
  end
end
