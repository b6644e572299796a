"""Mozilla's remote protocol, as far as running scripts in a program's own context wants it: length-prefixed JSON over TCP."""

import json
import socket


class Refused(Exception):
    """A script threw, or a command failed."""


class Marionette:
    def __init__(self, port, patience):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.stream = self.socket.makefile("rb")
        self.count = 0
        hello = self.receive()
        if hello["marionetteProtocol"] != 3:
            raise Refused(f"an unknown protocol: {hello}")
        self.capabilities = self.command("WebDriver:NewSession")["capabilities"]
        # The program's own context, not that of a page which it shows.
        self.command("Marionette:SetContext", value="chrome")

    def run(self, body, *arguments):
        """What an async function's body returns, given `arguments`."""
        script = """
            const done = arguments[arguments.length - 1];
            const given = Array.prototype.slice.call(arguments, 0, -1);
            const tell = answer => done(JSON.stringify(answer));
            (async () => { %s })().then(value => tell({ value }), error => tell({ error: String(error) }));
        """
        answer = self.command("WebDriver:ExecuteAsyncScript", script=script % body, args=list(arguments))
        answer = json.loads(answer["value"])
        if "error" in answer:
            raise Refused(answer["error"])
        return answer.get("value")

    def command(self, name, **parameters):
        self.count += 1
        packet = json.dumps([0, self.count, name, parameters]).encode()
        self.socket.sendall(b"%d:%b" % (len(packet), packet))
        _, _, error, result = self.receive()
        if error:
            raise Refused(f"{name}: {error['error']}: {error['message']}")
        return result

    def receive(self):
        digits = b""
        while (byte := self.stream.read(1)) != b":":
            if not byte:
                raise Refused("the program has closed the connection")
            digits += byte
        return json.loads(self.stream.read(int(digits)))

    def close(self):
        self.stream.close()
        self.socket.close()
