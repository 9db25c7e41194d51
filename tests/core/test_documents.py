"""Whoever follows a link in the documents arrives."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*.md")])
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def _prose(document: Path) -> str:
    return _CODE.sub("", document.read_text(encoding="utf-8"))


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, no punctuation, hyphens for blanks."""
    without_blocks = re.sub(
        r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    headings = _HEADING.findall(without_blocks)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    nowhere = []
    for link in _LINK.findall(_prose(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            nowhere.append(link)
    assert not nowhere


def test_the_links_of_the_readme_are_found() -> None:
    links = _LINK.findall(_prose(ROOT / "README.md"))
    assert "docs/measurements/engine.md" in links
