"""A Hub of one's own: the few addresses that huggingface_hub asks for, served from a folder of repositories."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class HubServer:
    """Serves ``root/owner/name/…`` as repositories; `requests` lists what was asked, `refuse` cuts files short."""

    def __init__(self, root: Path):
        self.root = root
        self.requests: list[str] = []
        self.cut: dict[str, int] = {}  # file name: bytes after which the connection breaks
        self.statuses: dict[str, int] = {}  # repository: status that every question about it gets
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def downloads(self) -> list[str]:
        """Names of the files whose content was asked for."""
        return [line.split("/", 5)[-1] for line in self.requests if line.startswith("GET") and "/resolve/" in line]

    def commit(self, repo_id: str) -> str:
        """The commit is the hash of all content, so that a changed file makes another."""
        digest = hashlib.sha1()
        for path in self.files(repo_id):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def files(self, repo_id: str) -> list[Path]:
        return sorted(path for path in (self.root / repo_id).rglob("*") if path.is_file())


def _handler(hub: HubServer):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: the client would wait 40 ms for a second

        def log_message(self, *arguments):
            pass

        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            self._answer(body=True)

        def _answer(self, body):
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            if token := self.headers.get("authorization"):
                hub.tokens.add(token)
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main", body)
            elif len(parts) > 4 and parts[2] == "resolve":
                self._file("/".join(parts[:2]), "/".join(parts[4:]), body)
            else:
                self._send(404, b"{}", body)

        def _info(self, repo_id, revision, body):
            if repo_id in hub.statuses:
                code = {401: "GatedRepo", 403: "GatedRepo"}.get(hub.statuses[repo_id], "")
                return self._send(hub.statuses[repo_id], b"{}", body, {"X-Error-Code": code})
            if not hub.files(repo_id):
                return self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
            commit = hub.commit(repo_id)
            if revision not in ("main", commit):
                return self._send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
            siblings = []
            for path in hub.files(repo_id):
                entry = {"rfilename": str(path.relative_to(hub.root / repo_id)), "size": path.stat().st_size}
                if path.suffix == ".safetensors":
                    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                    entry["lfs"] = {"sha256": sha256, "size": path.stat().st_size, "pointerSize": 130}
                siblings.append(entry)
            answer = {"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings, "tags": []}
            return self._send(200, json.dumps(answer).encode(), body)

        def _file(self, repo_id, name, body):
            path = hub.root / repo_id / name
            if not path.is_file():
                return self._send(404, b"", body, {"X-Error-Code": "EntryNotFound"})
            content = path.read_bytes()
            large = path.suffix == ".safetensors"
            etag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
            headers = {"X-Repo-Commit": hub.commit(repo_id), "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            begin = 0
            if wanted := self.headers.get("range"):
                begin = int(wanted.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            return self._send(206 if begin else 200, content[begin:], body, headers, hub.cut.get(name))

        def _send(self, status, content, body, headers=None, cut=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content[:cut])
                if cut is not None and cut < len(content):
                    self.wfile.flush()
                    self.close_connection = True

    return Handler
