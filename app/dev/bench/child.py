"""What each server process of the bench does, whatever it serves."""

import os
import signal
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI

HOST = "127.0.0.1"


def serve(app: FastAPI) -> None:
    """Serve on a free port, which is printed, until standard input ends.

    The end of its input tells a child that the bench is over, however that died.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with socket.create_server((HOST, 0), backlog=2048) as listener:
        print(listener.getsockname()[1], flush=True)
        # as `overrule serve` has it
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
