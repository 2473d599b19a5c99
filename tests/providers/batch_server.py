"""A server of the batch protocol: files, batches, their states, and what goes wrong with them."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from typing import Any

from falsepromise.teacher.local import Handler, Server, complete
from falsepromise.teacher.standin import NAME, StandIn

STATES = ("validating", "in_progress", "finalizing")


class BatchHandler(Handler):
    server: BatchServer

    def do_POST(self) -> None:
        body = self.read_body()
        path = self.path.partition("?")[0].partition("/v1" if "/v1/" in self.path else "/openai")[2]
        with self.server.lock:
            self.server.calls.append(f"POST {path}")
            if self._fails(f"POST {path}"):
                return
            if path == "/files":
                edge = self.headers["content-type"].partition("boundary=")[2].encode()
                (part,) = [part for part in body.split(b"--" + edge) if b"filename=" in part]
                data = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
                name = self.server.add(data)
                self.send_json(
                    200, {"id": name, "object": "file", "status": self.server.file_status, "bytes": len(data)}
                )
                self.server.file_status = "processed"
            elif path == "/batches":
                request = json.loads(body)
                name = f"batch_{len(self.server.batches)}"
                self.server.batches[name] = {"id": name, "status": "validating", "looks": 0, **request}
                if not self._fails("after POST /batches"):
                    self.send_json(200, self.server.view(name))
            else:
                self.send_json(404, {"error": {"message": "no such path"}})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].partition("/v1" if "/v1/" in self.path else "/openai")[2]
        with self.server.lock:
            self.server.calls.append(f"GET {path}")
            if self._fails(f"GET {re.sub(r'[0-9]+', 'N', path)}"):
                return
            kind, _, name = path.strip("/").partition("/")
            if kind == "batches" and not name:
                listed = [self.server.view(name) for name in self.server.batches]
                self.send_json(200, {"object": "list", "data": listed, "has_more": False})
            elif kind == "batches" and name in self.server.batches:
                self.server.advance(name)
                self.send_json(200, self.server.view(name))
            elif kind == "files" and name.endswith("/content"):
                data = self.server.files[name.removesuffix("/content")]
                self.send_response(200)
                self.send_header("content-type", "application/octet-stream")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            elif kind == "files":
                self.send_json(200, {"id": name, "status": "processed"})
            else:
                self.send_json(404, {"error": {"message": f"no {path}"}})

    def _fails(self, call: str) -> bool:
        """Whether a fault is due at this call: a status, or silence."""
        if not self.server.faults.get(call):
            return False
        fault = self.server.faults[call].pop(0)
        if isinstance(fault, int):
            self.send_json(fault, {"error": {"message": f"fault {fault}"}})
        elif fault == "lost":
            self.close_connection = True
            self.connection.close()
        else:
            self.send_json(fault[0], {"error": fault[1]})
        return True


class BatchServer(Server):
    """One account.

    Attributes:
        faults: By call, what goes wrong next: a status, `lost`, or a status and an error.
        ends: How the next batches end; `completed` when there is nothing left.
        share: Of its requests that an expired or cancelled batch has done.
        lines: What one request's line is, in place of a good one, by what is in its prompt.
        billed: Answers by custom id.
    """

    def __init__(self, known: StandIn):
        super().__init__(known, 0, BatchHandler)
        self.lock = threading.RLock()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, list[Any]] = {}
        self.calls: list[str] = []
        self.ends: list[str] = []
        self.share = 0.5
        self.lines: dict[str, Any] = {}
        self.file_status = "processed"
        self.billed: Counter[str] = Counter()
        self.held = False  # batches stay in progress

    def add(self, data: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return name

    def view(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.batches[name].items() if key != "looks"}

    def advance(self, name: str) -> None:
        batch = self.batches[name]
        if batch["status"] not in STATES or (self.held and batch["status"] == "in_progress"):
            return
        batch["looks"] += 1
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        batch["request_counts"] = {"total": len(requests), "completed": 0, "failed": 0}
        if batch["looks"] < len(STATES):
            batch["status"] = STATES[batch["looks"]]
            return
        batch["status"] = self.ends.pop(0) if self.ends else "completed"
        if batch["status"] == "failed":
            batch["errors"] = {"data": [{"code": "invalid", "message": "line 1 is too odd\x1b[2J"}]}
            return
        done = requests if batch["status"] == "completed" else requests[: round(len(requests) * self.share)]
        output, errors, completed = [], [], 0
        for request in done:
            text = request["body"]["messages"][-1]["content"]
            odd = next((value for mark, value in self.lines.items() if mark in text), None)
            line: Any = {"id": "r", "custom_id": request["custom_id"], "error": None}
            if odd is None:
                reply = complete(self.known, {**request["body"], "model": NAME})
                line["response"] = {"status_code": 200, "request_id": "x", "body": reply}
            else:
                line = odd if isinstance(odd, str) else {**line, **odd}
            good = isinstance(line, dict) and (line.get("response") or {}).get("status_code") == 200
            completed += odd is None or good
            self.billed[request["custom_id"]] += odd is None or good
            (output if good or isinstance(line, str) else errors).append(
                line if isinstance(line, str) else json.dumps(line)
            )
        for request in requests[len(done) :]:
            expired = {"code": "batch_expired", "message": "This request could not be executed in time"}
            errors.append(json.dumps({"custom_id": request["custom_id"], "response": None, "error": expired}))
        batch["request_counts"] |= {"completed": completed, "failed": len(errors)}
        if output:
            batch["output_file_id"] = self.add("\n".join([*output, *output[:1]]).encode() + b"\n")  # one line twice
        if errors:
            batch["error_file_id"] = self.add("\n".join(errors).encode())
