"""A strict collector over TLS, for the stream tests: one JSON line on standard output for each record.

collector.py syslog|http CERT KEY [PORT]: prints its port first. Whatever breaks RFC 5425, RFC 5424 or
HTTP ends it with a message. `http` answers 503 to its first request, as a collector that is busy does.
"""
import http.server
import json
import re
import socket
import ssl
import sys
import threading

HEADER = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) ([!-~]{1,255}) phiward - "
    rb'([!-~]{1,32}) \[meta sequenceId="(\d+)"\] \xef\xbb\xbf'
)
lock = threading.Lock()


def say(record):
    with lock:
        print(json.dumps(record), flush=True)


def fail(what):
    say({"error": what})
    raise SystemExit(what)


def syslog(stream):
    while True:
        digits = b""
        while True:
            byte = stream.recv(1)
            if not byte:
                return
            if byte == b" ":
                break
            digits += byte
            if not digits.isdigit() or digits.startswith(b"0") or len(digits) > 6:
                fail(f"no MSG-LEN: {digits!r}")
        message = b""
        while len(message) < int(digits):
            part = stream.recv(int(digits) - len(message))
            if not part:
                return
            message += part
        head = HEADER.match(message)
        if not head:
            fail(f"no RFC 5424 message: {message[:200]!r}")
        record = json.loads(message[head.end():].decode("utf-8"))
        if record["kind"].encode() != head[4] or (record["seq"] % 2147483647 + 1) != int(head[5]):
            fail("the header tells another record")
        if int(head[1]) != (110 if record["outcome"] == "success" else 108):
            fail(f"priority {head[1]!r} of {record['outcome']}")
        say(record)


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    turned_away = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Bearer the-collectors-token":
            return self.answer(401)
        if self.headers["Content-Type"] != "application/x-ndjson" or not body.endswith(b"\n"):
            fail("not NDJSON")
        if not Http.turned_away:
            Http.turned_away = True
            return self.answer(503)
        for line in body.splitlines():
            say(json.loads(line))
        self.answer(202)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    kind, cert, key = sys.argv[1:4]
    port = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if kind == "http":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Http)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_port, flush=True)
        server.serve_forever()
    listener = socket.create_server(("127.0.0.1", port))
    print(listener.getsockname()[1], flush=True)
    while True:
        plain, _ = listener.accept()
        try:
            stream = context.wrap_socket(plain, server_side=True)
        except (ssl.SSLError, OSError):
            continue
        threading.Thread(target=syslog, args=(stream,), daemon=True).start()


main()
