"""`python -m loralab dashboard <name> [port=8080]`: a study's trials on a local page, live while it runs."""

from __future__ import annotations

import logging
import socketserver
from collections.abc import Callable, Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from loralab.cli.arguments import typed, whole
from loralab.errors import UserError

log = logging.getLogger("loralab")
HOST = "127.0.0.1"
LAST_PORT = 65535


def main(arguments: Sequence[str]) -> None:
    """Serves optuna-dashboard over the study's storage until Ctrl-C."""
    from loralab.study import load, open_storage, storage_url
    from loralab.study.settings import STUDIES

    found = typed(arguments, command="dashboard", known=("name", "storage", "port"))
    port = whole(found, "port", default=8080)
    if port > LAST_PORT:
        raise UserError(f"port={port} is above {LAST_PORT}, the last that there is; 8080 is usual")
    application = _application()
    load(found["name"], storage=found.get("storage"))  # says which studies there are, if this one is not
    storage = open_storage(storage_url(found.get("storage"), folder=STUDIES / found["name"]))
    number = storage.get_study_id_from_name(found["name"])
    with _bound(port) as server:
        server.set_app(application(storage))
        log.info("http://%s:%d/dashboard/studies/%d   (Ctrl-C ends it)", HOST, port, number)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("ended")


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers in threads, so that Ctrl-C always meets the waiting main thread and never an answer that swallows it."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the page asks every few seconds."""


def _bound(port: int) -> _Server:
    try:
        return _Server((HOST, port), _Quiet)
    except OSError as error:
        raise UserError(f"port={port} cannot be used ({error}); port={port + 1} is another") from error


def _application() -> Callable[..., Any]:
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise UserError("dashboard needs optuna-dashboard: pip install 'loralab[dashboard]'") from error
    return wsgi
