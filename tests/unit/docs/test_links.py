"""Every link and path in a document leads somewhere: in the repository, and where the documents are installed."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
PREFIX = "/usr/prefix"
MADE = ("demo/out", "build/")
"""What a command of the repository makes."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make install`` puts in place as it stands in the repository, under a root of its own."""
    root = tmp_path_factory.mktemp("root")
    environment = os.environ | {"DESTDIR": str(root), "PREFIX": PREFIX}
    subprocess.run([TOP / "tools/install.sh", "files"], env=environment, check=True)
    (root / "etc/neo").mkdir()
    (root / "etc/neo/neo.toml").touch()  # written where there is none
    return root


def headings(document: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead(document: Path, root: Path) -> Iterator[str]:
    """Yield the links of *document* that lead nowhere; *root* is what "/" stands for."""
    for target, anchor in LINK.findall(document.read_text()):
        place = root / target[1:] if target.startswith("/") else document.parent / target if target else document
        if not place.exists() or (anchor and anchor[1:] not in headings(place)):
            yield f"{document.name}: {target}{anchor}"


def test_every_link_of_the_repository_leads_somewhere() -> None:
    documents = [TOP / "README.md", TOP / "CHANGELOG.md", *TOP.glob("docs/*.md"), *TOP.glob("tests/**/README.md")]
    assert len(documents) > 15
    assert [link for document in documents for link in dead(document, Path("/nowhere"))] == []


def test_every_link_of_the_installed_documents_leads_somewhere(installed: Path) -> None:
    documents = list((installed / PREFIX[1:] / "share/doc/neo").rglob("*.md"))
    assert len(documents) > 12
    assert [link for document in documents for link in dead(document, installed)] == []


def test_every_path_of_the_installation_that_is_named_is_there(installed: Path) -> None:
    """Commands to copy have paths: of the prefix that was chosen, and of files that are shipped."""
    readable = [
        path for path in installed.rglob("*") if path.is_file() and path.suffix in (".md", ".toml", ".conf", ".service")
    ]
    named = {
        (path.name, word)
        for path in readable
        for word in re.findall(r"/usr/\S*?/share/(?:doc/)?neo[\w./-]*", path.read_text())
    }
    assert len(named) > 3
    assert [(name, word) for name, word in sorted(named) if not (installed / word.rstrip(".")[1:]).exists()] == []


def test_every_path_of_the_repository_that_is_named_is_there() -> None:
    """In a document for those who have the repository, in backticks."""
    folders = "systemd|etc|tools|docs|debian|tests|demo|bench|src|build"
    named = {
        (document.name, word)
        for document in (TOP / "README.md", *TOP.glob("docs/*.md"))
        for word in re.findall(rf"`((?:{folders})/[\w./-]*)`", document.read_text())
    }
    wrong = [(name, word) for name, word in sorted(named) if not (TOP / word).exists() and not word.startswith(MADE)]
    assert wrong == []
