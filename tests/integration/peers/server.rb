# Ruby's faye-websocket under Thin, as Debian packages them, as an echo server: see README.
require 'thin'
require 'faye/websocket'

Faye::WebSocket.load_adapter('thin')
Thin::Logging.silent = true
$stdout.sync = true

app = lambda do |env|
  ws = Faye::WebSocket.new(env)
  ws.on(:message) { |event| ws.send(event.data) }
  ws.rack_response
end

EM.run do
  server = Thin::Server.new('127.0.0.1', 0, app, signals: false)
  server.start
  puts Socket.unpack_sockaddr_in(EM.get_sockname(server.backend.instance_variable_get(:@signature))).first
end
