"""Mechanical Turk's protocol on a local port, as far as the tests need it."""

import http.server
import json
import xml.etree.ElementTree as ElementTree

SERVICE = "MTurkRequesterServiceV20170117."


class Market(http.server.ThreadingHTTPServer):
    """A stand-in for Mechanical Turk: its JSON protocol, paging, unique tokens and balance, over HTTP.

    The client's side is boto3 itself, which checks each request against the service's own model.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits, self.assignments, self.calls = {}, {}, []
        self.balance, self.fail_after, self.hide = "10000.00", None, False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, call, asked):
        self.calls.append(call)
        return getattr(self, call)(asked)

    def CreateHIT(self, asked):
        if self.fail_after is not None and len(self.hits) >= self.fail_after:
            return 400, {"__type": "ServiceFault", "Message": "try later"}
        if asked["UniqueRequestToken"] in self.hits:
            message = "a HIT with this token exists (AWS.MechanicalTurk.HITAlreadyExists)"
            return 400, {"__type": "RequestError", "Message": message}
        assert len(asked["UniqueRequestToken"]) <= 64
        assert len(asked["Question"].encode()) <= 65_535
        ElementTree.fromstring(asked["Question"])
        hit = {"HITId": f"H{len(self.hits)}", **asked}
        self.hits[asked["UniqueRequestToken"]] = hit
        return 200, {"HIT": {"HITId": hit["HITId"]}}

    def ListHITs(self, asked):
        start = int(asked.get("NextToken") or 0)
        hits = [] if self.hide else list(self.hits.values())
        page = [{key: hit[key] for key in ("HITId", "RequesterAnnotation")} for hit in hits[start : start + 2]]
        more = {"NextToken": str(start + 2)} if start + 2 < len(hits) else {}
        return 200, {"NumResults": len(page), "HITs": page, **more}

    def ListAssignmentsForHIT(self, asked):
        wanted = [
            a for a in self.assignments.get(asked["HITId"], []) if a["AssignmentStatus"] in asked["AssignmentStatuses"]
        ]
        start = int(asked.get("NextToken") or 0)
        more = {"NextToken": str(start + 1)} if start + 1 < len(wanted) else {}
        return 200, {"NumResults": len(wanted), "Assignments": wanted[start : start + 1], **more}

    def GetAccountBalance(self, asked):
        return 200, {"AvailableBalance": self.balance}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = self.server.answer(self.headers["X-Amz-Target"].removeprefix(SERVICE), asked)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
