"""Test double of the Hub's HTTP API on loopback: what publishing and downloading need, no more.

It keeps everything in memory. Datasets are repositories whose name begins with ``datasets/``, blobs
are found by their hash, a commit is an immutable table of files, a branch or tag names a commit. It
does not prove that the real Hub behaves the same.
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
LARGE = (".safetensors", ".hdf5", ".h5", ".parquet", ".png")
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
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.cut_after: int | None = None
        """Bytes of a large file after which the connection breaks; a test sets it."""
        self.refused: str | None = None
        """Beginning of the paths that are answered with 503; a test sets it."""
        name = r"(?P<repo>(?:datasets/)?[^/]+/[^/]+)"
        api = r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)"
        self.routes: list[tuple[str, Callable[..., Reply]]] = [
            (r"/api/whoami-v2", self.whoami),
            (r"/api/validate-yaml", self.validate_yaml),
            (r"/api/repos/create", self.create),
            (r"/lfs/(?P<oid>[0-9a-f]{64})", self.store_large),
            (rf"/{name}\.git/info/lfs/objects/batch", self.offer_uploads),
            (rf"/{name}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.download),
            (rf"{api}/preupload/(?P<revision>[^/]+)", self.preupload),
            (rf"{api}/commit/(?P<revision>[^/]+)", self.commit),
            (rf"{api}/branch/(?P<revision>[^/]+)", self.branch),
            (rf"{api}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", self.tree),
            (rf"{api}/paths-info/(?P<revision>[^/]+)", self.paths),
            (rf"{api}/revision/(?P<revision>[^/]+)", self.info),
            (rf"{api}", self.info),
            (r"/api/models", self.search),
        ]

    def answer(
        self, path: str, body: bytes, headers: dict[str, str] | None = None, query: str = ""
    ) -> Reply:
        """Reply to one request."""
        if self.refused is not None and path.startswith(self.refused):
            return _error(503, "Unavailable")
        for pattern, method in self.routes:
            if match := re.fullmatch(pattern, path):
                found = match.groupdict()
                if found.pop("kind", None) == "datasets":
                    found["repo"] = f"datasets/{found['repo']}"
                if (repo := found.get("repo")) is not None:
                    if repo not in self.repositories:
                        return _error(404, "RepoNotFound")
                    known = {name.lower() for name in headers or {}}
                    if self.repositories[repo].private and "authorization" not in known:
                        return _error(401, "RepoNotFound")
                if method == self.search:
                    found["query"] = query
                if method == self.tree:
                    found["is_deep"] = "recursive=true" in query.lower()
                return method(body, **found)
        return _error(404, "NotImplemented")

    def whoami(self, body: bytes) -> Reply:
        token = {"accessToken": {"role": "write"}}
        return _json({"name": "tester", "type": "user", "orgs": [], "auth": token})

    def validate_yaml(self, body: bytes) -> Reply:
        return _json({"errors": [], "warnings": []})

    def create(self, body: bytes) -> Reply:
        wanted = json.loads(body)
        prefix = "datasets/" if wanted.get("type") == "dataset" else ""
        repo = f"{prefix}{wanted.get('organization') or 'tester'}/{wanted['name']}"
        is_new = repo not in self.repositories
        if is_new:
            private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
            self.repositories[repo] = Repository(private)
            self.repositories[repo].add_commit("main", {})
        short = repo.removeprefix("datasets/")
        address = {"url": f"{self.url}/{repo}", "name": short, "id": short}
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
                "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
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
                "id": repo.removeprefix("datasets/"),
                "modelId": repo,
                "author": repo.split("/")[-2],
                "sha": commit,
                "private": self.repositories[repo].private,
                "tags": [],
                "disabled": False,
                "gated": False,
                "downloads": 0,
                "likes": 0,
                "createdAt": DATE,
                "lastModified": DATE,
                "siblings": [{"rfilename": name} for name in names],
            }
        )

    def search(self, body: bytes, query: str) -> Reply:
        """Public models whose card has the wanted tag, of the wanted author."""
        wanted = urllib.parse.parse_qs(query)
        tag, author = wanted.get("filter", [""])[0], wanted.get("author", [""])[0]
        found = []
        for repo, repository in self.repositories.items():
            card = self.files(repo).get("README.md", b"").decode()
            is_wanted = f"library_name: {tag}" in card and repo.startswith(author)
            if not repo.startswith("datasets/") and not repository.private and is_wanted:
                found.append(json.loads(self.info(b"", repo)[2]) | {"tags": [tag]})
        return _json(found)

    def _entry(self, path: str, stored: StoredFile) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": stored.size, "oid": stored.etag}
        if stored.is_large:
            entry["lfs"] = {"oid": stored.oid, "size": stored.size, "pointerSize": 134}
        return entry

    def tree(
        self, body: bytes, repo: str, revision: str, path: str | None = None, is_deep: bool = True
    ) -> Reply:
        commit = self.repositories[repo].find(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        files = self.repositories[repo].commits[commit]
        start = f"{path.strip('/')}/" if path else ""
        inside = {name: stored for name, stored in sorted(files.items()) if name.startswith(start)}
        if start and not inside:
            return _error(404, "EntryNotFound")
        entries = [
            self._entry(name, stored)
            for name, stored in inside.items()
            if is_deep or not repo.startswith("datasets/") or "/" not in name[len(start) :]
        ]
        below = {start + name[len(start) :].partition("/")[0] for name in inside} - inside.keys()
        folders = [] if is_deep else [self._folder(name) for name in sorted(below)]
        return _json(folders + entries)

    def _folder(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}

    def paths(self, body: bytes, repo: str, revision: str) -> Reply:
        commit = self.repositories[repo].find(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        files = self.repositories[repo].commits[commit]
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = urllib.parse.parse_qs(body.decode())["paths"]
        found = [self._entry(name, files[name]) for name in wanted if name in files]
        inner = [n for n in wanted if any(name.startswith(f"{n}/") for name in files)]
        return _json(found + [self._folder(name) for name in inner])

    def put(self, repo: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Commit files as they are, as somebody with access to the server could."""
        repository = self.repositories.setdefault(repo, Repository(private))
        table = {}
        for path, data in files.items():
            oid = hashlib.sha256(data).hexdigest()
            self.blobs[oid] = data
            table[path] = StoredFile(oid, oid, len(data), path.endswith(LARGE))
        return repository.add_commit("main", table)

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

        def range(self) -> str:
            return self.headers.get("Range", "") if self.command == "GET" else ""

        def do_GET(self) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            query = urllib.parse.urlsplit(self.path).query
            double.requests.append((self.command, path))
            status, headers, content = double.answer(
                path, self.read_body(), dict(self.headers), query
            )
            if status == 200 and (found := re.match(r"bytes=(\d+)-(\d*)", self.range())):
                first, last = int(found[1]), int(found[2] or len(content) - 1)
                last = min(last, len(content) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                status, content = 206, content[first : last + 1]
            if status == 206:
                double.ranges.append(self.range())
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = double.cut_after if path.endswith(LARGE) else None
            self.wfile.write(content[:cut])
            if cut is not None and cut < len(content):
                self.wfile.flush()
                self.close_connection = True

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
