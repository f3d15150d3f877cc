"""Documents written to a file in the formats of annotation tools, and read back."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.formats import read_annotations, write_annotations
from spacy_tabcnn.relations import set_relations

VOCAB = Vocab()
# Emoji, a combining accent, text from right to left, and characters that some libraries take for
# line ends or spaces.
WORDS = [
    "Łódź",
    "👩‍🔬",
    "𝔸",
    "e\u0301",
    "שלום",
    "\u200fمرحبا",
    "a\u00a0b",
    "\u00a0",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\u2028",
]
WORDS += ["\x85", "\x0b", "\u3000", "x\ufeff", '"', "\\n", "T1", " "]


class CharacterPipeline:
    """A pipeline that makes each character a token, so that any offsets match the tokens."""

    vocab = VOCAB

    @staticmethod
    def make_doc(text):
        return Doc(VOCAB, words=list(text), spaces=[False] * len(text))


@st.composite
def annotated_docs(draw):
    words = draw(st.lists(st.sampled_from(WORDS), max_size=8))
    doc = Doc(VOCAB, words=words, spaces=[draw(st.booleans()) for _ in words])
    borders = draw(st.lists(st.integers(0, len(words)), unique=True, max_size=6).map(sorted))
    labels = st.sampled_from(["Peop", "Adverse-Effect", "Ort_ü"])
    pairs = zip(borders[::2], borders[1::2], strict=False)
    spans = [Span(doc, start, end, label=draw(labels)) for start, end in pairs]
    doc.set_ents(spans, default="outside")
    triples = [
        (head, tail, label)
        for head in spans
        for tail in spans
        if head != tail
        for label in ("Kill", "Live_In")
    ]
    indices = (
        st.lists(st.sampled_from(range(len(triples))), unique=True) if triples else st.just([])
    )
    set_relations(doc, [triples[index] for index in draw(indices)])
    doc.user_data["orig_id"] = draw(st.sampled_from(["a", "b-1"]))
    return doc


def in_characters(doc):
    """The annotation of a document as plain data that does not depend on its tokens."""
    return (
        doc.text,
        [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents],
        [
            (head.start_char, head.end_char, tail.start_char, tail.end_char, label)
            for head, tail, label, _ in doc._.relations
        ],
    )


@pytest.mark.parametrize(
    "format_name,name",
    [("brat", "folder"), ("prodigy", "a.jsonl"), ("labelstudio", "a.json"), ("doccano", "a.jsonl")],
)
@given(docs=st.lists(annotated_docs(), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None)
def test_offsets_survive_any_text(format_name, name, docs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        written = write_annotations(path, docs, format_name=format_name, strict=True)
        back, read = read_annotations(path, CharacterPipeline, strict=True)
    assert sorted(map(in_characters, back)) == sorted(map(in_characters, docs))
    assert (written.entities, written.relations) == (read.entities, read.relations)
    if format_name == "prodigy":
        assert [[token.text for token in doc] for doc in back] == [
            [token.text for token in doc] for doc in docs
        ]
