"""The documents that are on this machine, and a search over them (BM25).

The library holds this project's own documentation, and the README and licence of every package
that is installed beside it. So it is never empty, wherever you run it.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PASSAGE_WORDS = 90
QUOTE_WORDS = 70
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)
MIN_COVERAGE = 0.35
"""What speaks of a smaller share of the question has only met one of its words by chance."""
CODE_OR_HEADING = re.compile(
    r"```.*?(?:```|\Z)|<!--.*?-->|^\s*(?:#|\.\. |>>>|\.\.\. ).*?$|^\W+$", re.DOTALL | re.MULTILINE
)
IMAGE_OR_TAG = re.compile(
    r"!\[[^]]*\]\([^)]*\)|</?(?:a|b|br|code|div|em|h\d|hr|img|p|source|span|strong)\b[^<>]*>"
)
LINK = re.compile(r"\[([^][]+)\](?:\([^)]*\)|\[[^]]*\])")
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about all also an and any are as at be but by can could did do does for from had has
        have how i if in into is it its many may me much must my not of on or our should so some
        such than that the their them then there these they this to use used using was we were what
        when where which who why will with would you your""",
    )
)


@dataclass(frozen=True, slots=True)
class Document:
    """A text with the name to cite it by."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Some adjacent sentences of a document."""

    document: Document
    sentences: tuple[str, ...]
    terms: Counter[str]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that has terms of the question, and how well it matches."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True)
class Source:
    """A document with its passages that match, and the share of the question that they cover."""

    document: Document
    passages: tuple[Passage, ...]
    coverage: float
    score: float


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence, word for word, with where it is from and how well it matches."""

    document: Document
    sentence: str
    score: float


class Library:
    """An index over documents, made once and then only read.

    The score is Okapi BM25 (Robertson and Zaragoza, 2009, "The Probabilistic Relevance Framework").
    """

    def __init__(self, documents: Iterable[Document], *, k1: float = 1.2, b: float = 0.75) -> None:
        self.documents = list(documents)
        by_text: dict[tuple[str, ...], Passage] = {}
        for document in self.documents:
            for passage in cut(document):
                # Many packages ship the same licence: a text counts once, for the first of them.
                by_text.setdefault(passage.sentences, passage)
        self.passages = list(by_text.values())
        self._found_in = Counter(term for passage in self.passages for term in passage.terms)
        self._mean_length = sum(p.terms.total() for p in self.passages) / max(1, len(self.passages))
        self._k1, self._b = k1, b

    def weight(self, term: str) -> float:
        """How much a term tells (inverse document frequency): the rarer, the more."""
        found_in = self._found_in[term]
        return math.log(1 + (len(self.passages) - found_in + 0.5) / (found_in + 0.5))

    def search(self, question: str, *, limit: int) -> list[Hit]:
        """The best passages for a question, best first; none has a score of 0."""
        wanted = set(terms(question))
        hits = (Hit(passage, self._score(wanted, passage)) for passage in self.passages)
        found = [hit for hit in hits if hit.score > 0]
        return sorted(found, key=lambda hit: hit.score, reverse=True)[:limit]

    def rank(self, question: str, hits: Iterable[Hit]) -> list[Source]:
        """The documents behind the hits, best first, and only those that cover enough.

        A document's score is that of its best passage, weighted with what all its passages cover.
        """
        found: dict[Document, list[Hit]] = {}
        for hit in hits:
            found.setdefault(hit.passage.document, []).append(hit)
        sources = []
        for document, its_hits in found.items():
            passages = tuple(hit.passage for hit in its_hits)
            covered = self.coverage(question, " ".join(" ".join(p.sentences) for p in passages))
            if covered >= MIN_COVERAGE:
                score = covered * max(hit.score for hit in its_hits)
                sources.append(Source(document, passages, covered, score))
        return sorted(sources, key=lambda source: source.score, reverse=True)

    def quotes(self, question: str, source: Source, *, limit: int) -> list[Quote]:
        """The sentences of a source that cover the most of the question, best first."""
        found = [
            (self.coverage(question, sentence), sentence)
            for passage in source.passages
            for sentence in passage.sentences
            if len(sentence.split()) <= QUOTE_WORDS
        ]
        found.sort(reverse=True)
        return [
            Quote(source.document, sentence, covered * source.score)
            for covered, sentence in found[:limit]
            if covered >= MIN_COVERAGE / 2
        ]

    def coverage(self, question: str, text: str) -> float:
        """The share of the question that a text speaks of, 0 to 1, by the weight of its terms."""
        wanted, there = set(terms(question)), set(terms(text))
        total = sum(map(self.weight, wanted))
        return sum(map(self.weight, wanted & there)) / total if total else 0.0

    def _score(self, wanted: set[str], passage: Passage) -> float:
        length = 1 - self._b + self._b * passage.terms.total() / self._mean_length
        score = 0.0
        for term in wanted & passage.terms.keys():
            count = passage.terms[term]
            score += self.weight(term) * count * (self._k1 + 1) / (count + self._k1 * length)
        return score


@functools.cache
def open_library() -> Library:
    """The library of this machine; reading it takes a moment, once per process."""
    own = list(_own_documents())
    # The README of this project is in its package, too: it is listed once.
    named = "stepwire README" if any(document.name == "README.md" for document in own) else None
    return Library((*own, *(other for other in _installed_documents() if other.name != named)))


def terms(text: str) -> list[str]:
    """The words that tell something, in lower case and without endings."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [_stem(word) for word in words if word not in STOP_WORDS]


def cut(document: Document) -> Iterator[Passage]:
    """A document as passages of about ``PASSAGE_WORDS`` words, never inside a sentence."""
    passage: list[str] = []
    words = 0
    for sentence in sentences(document.text):
        passage.append(sentence)
        words += len(sentence.split())
        if words >= PASSAGE_WORDS:
            yield _passage(document, passage)
            passage, words = [], 0
    if passage:
        yield _passage(document, passage)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a plain or Markdown text, without code blocks, headings and markup."""
    text = CODE_OR_HEADING.sub("\n\n", text)
    text = IMAGE_OR_TAG.sub(" ", text)
    text = LINK.sub(r"\1", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+|]|\d+[.)])\s)", text):
        plain = re.sub(r"^\s*[-*+>]\s+|[`*]|^\W+$", "", " ".join(block.strip(" |\n").split()))
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"(])", plain):
            if len(sentence.split()) >= 4:
                yield sentence.replace(" | ", ": ")


def _passage(document: Document, parts: Sequence[str]) -> Passage:
    return Passage(document, tuple(parts), Counter(terms(" ".join(parts))))


def _stem(word: str) -> str:
    """``connections``, ``connecting`` and ``connected`` as one: crude, and enough to find them."""
    for ending in ("ing", "ion", "ed", "es", "e", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return _stem(word.removesuffix(ending))
    return word


def _own_documents() -> Iterator[Document]:
    for path in sorted((*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"))):
        yield Document(str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8"))


def _installed_documents() -> Iterator[Document]:
    for package in sorted(metadata.distributions(), key=lambda package: package.name or ""):
        # Below its headers, a package's metadata is its README.
        _, _, readme = (package.read_text("METADATA") or "").partition("\n\n")
        if readme:
            yield Document(f"{package.name} README", readme)
        for file in package.files or ():
            if not (LICENCE_FILE.match(file.name) and file.parts[0].endswith(".dist-info")):
                continue
            path = Path(str(file.locate()))
            # Slim images keep the list of a package's files, and drop some of the files.
            if path.is_file():
                name = "/".join(file.parts[1:]).removeprefix("licenses/")
                text = path.read_text(encoding="utf-8", errors="replace")
                yield Document(f"{package.name} {name}", text)
