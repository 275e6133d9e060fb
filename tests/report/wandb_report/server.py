"""A stand-in for W&B on 127.0.0.1: it answers the GraphQL calls that saving a report makes, and keeps what was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "team"
OF_TELEMETRY = "/sdk/otel/"


@dataclass
class Server:
    """What the server knows and what it was told.

    Attributes:
        projects: {name: internal id} of the projects that exist.
        saved: variables of every saved view, in order.
        unknown: queries and paths that it has no answer to.
    """

    projects: dict[str, str]
    saved: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Gives the data of a call."""
        if "upsertView(" in query:
            return self._saved(variables)
        if "internalId" in query:
            found = self.projects.get(variables["projectName"])
            return {"project": {"id": found, "internalId": found} if found else None}
        if "query Viewer" in query or "query GetDefaultEntity" in query:
            user = {"id": "1", "entity": ENTITY, "username": "me", "email": "", "flags": "{}"}
            return {"viewer": {**user, "teams": {"edges": []}}}
        if "query GetProjects" in query:
            return {
                "models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": self._projects()}
            }
        self.unknown.append(query)
        return {}

    def _projects(self) -> list[dict[str, Any]]:
        kept = {"entityName": ENTITY, "createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None}
        return [
            {"node": {**kept, "id": each, "name": name}, "cursor": ""} for name, each in self.projects.items()
        ]

    def _saved(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.saved.append(variables)
        named = {key: variables[key] for key in ("name", "displayName", "description", "spec", "type")}
        project = {"id": "1", "name": variables["projectName"], "entityName": variables["entityName"]}
        view = {**named, "id": variables["id"] or f"view{len(self.saved)}", "project": project}
        return {"upsertView": {"view": {**view, "updatedAt": "2026-01-01T00:00:00"}, "inserted": True}}


@contextlib.contextmanager
def serving(*projects: str) -> Iterator[Server]:
    """Runs a server that has these projects."""
    state = Server({name: f"project{index}" for index, name in enumerate(projects)})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            state.unknown.append(self.path)
            self._send({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/graphql":
                state.unknown += [] if self.path.startswith(OF_TELEMETRY) else [self.path]
                self._send({})
                return
            call = json.loads(body)
            self._send({"data": state.answer(call["query"], call.get("variables") or {})})

        def _send(self, found: dict[str, Any]) -> None:
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
