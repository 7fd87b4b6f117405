# Ruby's faye-websocket under Thin, as its README has it.
require 'thin'
require 'faye/websocket'

Faye::WebSocket.load_adapter('thin')
Thin::Logging.silent = true

MAX_SIZE = 256 * 1024 * 1024

# The words behind the port are those of options.py.
ping = ARGV.filter_map { |word| Float(word[5..]) if word.start_with?('ping=') }.first

app = lambda do |env|
  ws = Faye::WebSocket.new(env, [], max_length: MAX_SIZE, ping: ping)
  ws.on(:message) { |event| ws.send(event.data) }
  ws.rack_response
end

EM.epoll
EM.set_descriptor_table_size(20_000)
EM.run do
  server = Thin::Server.new('127.0.0.1', Integer(ARGV[0]), app, signals: false)
  server.maximum_connections = 20_000
  server.start
end
