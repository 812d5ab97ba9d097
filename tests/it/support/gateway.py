"""A reverse proxy that speaks TLS and wants basic authentication; prints its port.

  gateway.py ADDRESS USER:PASSWORD CERTIFICATE KEY
"""

import base64
import http.client
import http.server
import ssl
import sys

upstream, user, certificate, key = sys.argv[1:]
wanted = "Basic " + base64.b64encode(user.encode()).decode()


class Gateway(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != wanted:
            return self.answer(401, b"", {"WWW-Authenticate": "Basic"})
        connection = http.client.HTTPConnection(upstream, timeout=30)
        kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
        connection.request(self.command, self.path, body, kept)
        answer = connection.getresponse()
        self.answer(answer.status, answer.read(), {"Content-Type": answer.getheader("Content-Type", "")})

    do_POST = do_PUT = do_GET

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
