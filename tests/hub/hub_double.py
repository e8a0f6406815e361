"""Test double of the Hub's HTTP API on loopback: what publishing and downloading need, no more.

It keeps everything in memory. Blobs are found by their hash, a commit is an immutable table of
files, a branch or tag names a commit. It does not prove that the real Hub behaves the same.
"""

import base64
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
DATE = "2030-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit; ``oid`` finds the blob, ``etag`` is what the client compares."""

    oid: str
    etag: str
    size: int
    is_large: bool


@dataclass
class Repository:
    """Commits and the names that point to them."""

    private: bool
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def add_commit(self, branch: str, files: dict[str, StoredFile]) -> str:
        """Append a commit and return its id."""
        text = f"{branch}{len(self.commits)}{sorted(files.items())}"
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        """Commit that a branch or a commit id means."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


def _json(content: Any, status: int = 200) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _error(status: int, code: str) -> Reply:
    headers = {"X-Error-Code": code, "X-Error-Message": code, "Content-Type": "application/json"}
    return status, headers, json.dumps({"error": code}).encode()


class HubDouble:
    """The server's memory, and one method for each kind of request."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.url = ""
        name = r"(?P<repo>[^/]+/[^/]+)"
        self.routes: list[tuple[str, Callable[..., Reply]]] = [
            (r"/api/whoami-v2", self.whoami),
            (r"/api/validate-yaml", self.validate_yaml),
            (r"/api/repos/create", self.create),
            (r"/lfs/(?P<oid>[0-9a-f]{64})", self.store_large),
            (rf"/{name}\.git/info/lfs/objects/batch", self.offer_uploads),
            (rf"/{name}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.download),
            (rf"/api/models/{name}/preupload/(?P<revision>[^/]+)", self.preupload),
            (rf"/api/models/{name}/commit/(?P<revision>[^/]+)", self.commit),
            (rf"/api/models/{name}/branch/(?P<revision>[^/]+)", self.branch),
            (rf"/api/models/{name}/tree/(?P<revision>[^/]+)", self.tree),
            (rf"/api/models/{name}/revision/(?P<revision>[^/]+)", self.info),
            (rf"/api/models/{name}", self.info),
        ]

    def answer(self, path: str, body: bytes) -> Reply:
        """Reply to one request."""
        for pattern, method in self.routes:
            if match := re.fullmatch(pattern, path):
                repo = match.groupdict().get("repo")
                if repo is not None and repo not in self.repositories:
                    return _error(404, "RepoNotFound")
                return method(body, **match.groupdict())
        return _error(404, "NotImplemented")

    def whoami(self, body: bytes) -> Reply:
        token = {"accessToken": {"role": "write"}}
        return _json({"name": "tester", "type": "user", "orgs": [], "auth": token})

    def validate_yaml(self, body: bytes) -> Reply:
        return _json({"errors": [], "warnings": []})

    def create(self, body: bytes) -> Reply:
        wanted = json.loads(body)
        repo = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        is_new = repo not in self.repositories
        if is_new:
            private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
            self.repositories[repo] = Repository(private)
            self.repositories[repo].add_commit("main", {})
        address = {"url": f"{self.url}/{repo}", "name": repo, "id": repo}
        return _json(address, 200 if is_new else 409)

    def store_large(self, body: bytes, oid: str) -> Reply:
        if hashlib.sha256(body).hexdigest() != oid:
            return _error(400, "BadDigest")
        self.blobs[oid] = body
        return _json({})

    def offer_uploads(self, body: bytes, repo: str) -> Reply:
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.blobs:
                upload = {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}"}}
                entry |= {"authenticated": True, "actions": upload}
            objects.append(entry)
        return _json({"transfer": "basic", "objects": objects})

    def preupload(self, body: bytes, repo: str, revision: str) -> Reply:
        modes = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        return _json({"files": modes})

    def branch(self, body: bytes, repo: str, revision: str) -> Reply:
        repository = self.repositories[repo]
        if revision in repository.branches:
            return _error(409, "RevisionExists")
        repository.branches[revision] = repository.branches["main"]
        return _json({})

    def commit(self, body: bytes, repo: str, revision: str) -> Reply:
        repository = self.repositories[repo]
        parent = repository.find(revision)
        if parent is None:
            return _error(404, "RevisionNotFound")
        files = dict(repository.commits[parent])
        for line in filter(None, body.splitlines()):
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "file":
                data = base64.b64decode(value["content"])
                oid = hashlib.sha256(data).hexdigest()
                self.blobs[oid] = data
                etag = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                files[value["path"]] = StoredFile(oid, etag, len(data), False)
            elif key == "lfsFile":
                oid = value["oid"]
                if oid not in self.blobs:
                    return _error(400, "LfsMissing")
                files[value["path"]] = StoredFile(oid, oid, value["size"], True)
            elif key == "deletedFile":
                files.pop(value["path"], None)
        oid = repository.add_commit(revision, files)
        address = f"{self.url}/{repo}/commit/{oid}"
        return _json({"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""})

    def info(self, body: bytes, repo: str, revision: str = "main") -> Reply:
        commit = self.repositories[repo].find(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        names = sorted(self.repositories[repo].commits[commit])
        return _json(
            {
                "id": repo,
                "modelId": repo,
                "author": repo.split("/")[0],
                "sha": commit,
                "private": self.repositories[repo].private,
                "tags": [],
                "createdAt": DATE,
                "lastModified": DATE,
                "siblings": [{"rfilename": name} for name in names],
            }
        )

    def tree(self, body: bytes, repo: str, revision: str) -> Reply:
        commit = self.repositories[repo].find(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        entries = []
        for path, stored in sorted(self.repositories[repo].commits[commit].items()):
            entry = {"type": "file", "path": path, "size": stored.size, "oid": stored.etag}
            if stored.is_large:
                entry["lfs"] = {"oid": stored.oid, "size": stored.size, "pointerSize": 134}
            entries.append(entry)
        return _json(entries)

    def download(self, body: bytes, repo: str, revision: str, path: str) -> Reply:
        commit = self.repositories[repo].find(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        stored = self.repositories[repo].commits[commit].get(path)
        if stored is None:
            return _error(404, "EntryNotFound")
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Repo-Commit": commit,
            "ETag": f'"{stored.etag}"',
        }
        if stored.is_large:
            headers |= {"X-Linked-Etag": f'"{stored.oid}"', "X-Linked-Size": str(stored.size)}
        return 200, headers, self.blobs[stored.oid]

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a branch holds, for a test to look at."""
        repository = self.repositories[repo]
        commit = repository.find(revision)
        assert commit is not None
        return {path: self.blobs[f.oid] for path, f in repository.commits[commit].items()}


def start(double: HubDouble) -> ThreadingHTTPServer:
    """Serve a double on a free loopback port in a background thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_GET(self) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            status, headers, content = double.answer(path, self.read_body())
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
