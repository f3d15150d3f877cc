"""The graph as RDF, with the place of each mention.

An entity has a class for its label and is joined to other entities by a property for each label of
relations. Its mentions are phrases of NIF 2.0 (the NLP Interchange Format), whose offsets count
code points, as those of this package. A mention of a relation is an `rdf:Statement`.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..files import open_output
from .mentions import EntityMention, KeyFunction, Mentions, RelationMention, make_id

if TYPE_CHECKING:
    import rdflib

DEFAULT_BASE = "urn:spacy-tabcnn:"
NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
ITSRDF = "http://www.w3.org/2005/11/its/rdf#"
# An absolute IRI that a name can follow.
_BASE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20\x7f-\x9f<>\"{}|\\^`]*(?<=[/#:])")


def write_rdf(
    output: Path,
    documents: Iterable[Mentions],
    *,
    format_name: str,
    key: KeyFunction,
    base: str = DEFAULT_BASE,
) -> int:
    """Write the graph as RDF.

    output (Path): The file to write.
    documents (Iterable[Mentions]): The entities and the relations of each document.
    format_name (str): "turtle" or "json-ld".
    key (KeyFunction): Mentions with the same key are one entity.
    base (str): The beginning of all IRIs of the graph.
    RETURNS (int): Number of mentions of relations.
    RAISES (ImportError): If rdflib is missing.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    RAISES (ValueError): If the base is no absolute IRI.
    """
    maker = _Maker(key, base)
    for mentions in documents:
        maker.add(mentions)
    with open_output(output) as file_:
        maker.graph.serialize(
            destination=file_, format=format_name, encoding="utf-8", auto_compact=True
        )
    return maker.n_relations


def make_rdf(
    documents: Iterable[Mentions], *, key: KeyFunction, base: str = DEFAULT_BASE
) -> "rdflib.Graph":
    """Make the graph in rdflib.

    documents (Iterable[Mentions]): The entities and the relations of each document.
    key (KeyFunction): Mentions with the same key are one entity.
    base (str): The beginning of all IRIs of the graph.
    RETURNS (rdflib.Graph): The graph.
    RAISES (ImportError): If rdflib is missing.
    RAISES (ValueError): If the base is no absolute IRI.
    """
    maker = _Maker(key, base)
    for mentions in documents:
        maker.add(mentions)
    return maker.graph


def _check_base(base: str) -> None:
    """Check the beginning of all IRIs: an absolute IRI that a name can follow."""
    if not _BASE.fullmatch(base):
        raise ValueError(
            f"the base of IRIs is {base!r}; expected an absolute IRI that ends with '/', '#' or "
            "':', such as https://example.org/graph/"
        )


class _Maker:
    """Makes the triples of mentions.

    key (KeyFunction): Mentions with the same key are one entity.
    base (str): The beginning of all IRIs.
    """

    def __init__(self, key: KeyFunction, base: str):
        _check_base(base)
        self.rdflib = _import_rdflib()
        self.key = key
        self.base = base
        self.n_relations = 0
        self.graph = self.rdflib.Graph(bind_namespaces="none")
        self.nif = self.rdflib.Namespace(NIF)
        self.itsrdf = self.rdflib.Namespace(ITSRDF)
        self.terms = self.rdflib.Namespace(f"{base}terms/")
        self._bind()

    def add(self, mentions: Mentions) -> None:
        """Add the triples of a document.

        mentions (Mentions): Its entities and relations.
        """
        entities, relations = mentions
        for entity in entities:
            self._add_entity(entity)
        for relation in relations:
            self._add_relation(relation)
            self.n_relations += 1

    def _bind(self) -> None:
        names = self.rdflib.namespace
        for prefix, namespace in (
            ("rdf", names.RDF),
            ("rdfs", names.RDFS),
            ("xsd", names.XSD),
            ("dcterms", names.DCTERMS),
            ("prov", names.PROV),
            ("nif", self.nif),
            ("itsrdf", self.itsrdf),
            ("terms", self.terms),
            ("label", self.rdflib.Namespace(f"{self.base}label/")),
            ("relation", self.rdflib.Namespace(f"{self.base}relation/")),
        ):
            self.graph.bind(prefix, namespace)

    def _add_entity(self, mention: EntityMention) -> None:
        """Add a mention, its entity, the class of its label and its document."""
        names = self.rdflib.namespace
        node, phrase = self._name_entity(mention), self._name_mention(mention)
        label, document = self._name("label", mention.label), self._add_document(mention.document)
        if (node, names.RDFS.label, None) not in self.graph:
            self._add(node, names.RDFS.label, self.rdflib.Literal(mention.text))
        self._add(node, names.RDF.type, label)
        self._add(label, names.RDFS.label, self.rdflib.Literal(mention.label))
        self._add(phrase, names.RDF.type, self.nif.Phrase)
        self._add(phrase, self.nif.anchorOf, self.rdflib.Literal(mention.text))
        self._add(phrase, self.nif.beginIndex, self._offset(mention.start))
        self._add(phrase, self.nif.endIndex, self._offset(mention.end))
        self._add(phrase, self.nif.referenceContext, document)
        self._add(phrase, self.itsrdf.taIdentRef, node)
        self._add(phrase, self.itsrdf.taClassRef, label)
        self._add_score(phrase, mention.score)

    def _add_relation(self, relation: RelationMention) -> None:
        """Add a relation between two entities, and a statement with its place."""
        names = self.rdflib.namespace
        head, tail = self._name_entity(relation.head), self._name_entity(relation.tail)
        label = self._name("relation", relation.label)
        self._add(head, label, tail)
        self._add(label, names.RDF.type, names.RDF.Property)
        self._add(label, names.RDFS.label, self.rdflib.Literal(relation.label))
        places = relation.head[:3], relation.head.label, relation.tail[1:3], relation.tail.label
        statement = self._name("statement", make_id(*places, relation.label))
        self._add(statement, names.RDF.type, names.RDF.Statement)
        self._add(statement, names.RDF.subject, head)
        self._add(statement, names.RDF.predicate, label)
        self._add(statement, names.RDF.object, tail)
        self._add(statement, self.terms.head, self._name_mention(relation.head))
        self._add(statement, self.terms.tail, self._name_mention(relation.tail))
        document = self._name("document", relation.head.document)
        self._add(statement, names.PROV.wasDerivedFrom, document)
        self._add_score(statement, relation.score)

    def _add_document(self, identifier: str) -> "rdflib.URIRef":
        names = self.rdflib.namespace
        document = self._name("document", identifier)
        self._add(document, names.RDF.type, self.nif.Context)
        self._add(document, names.DCTERMS.identifier, self.rdflib.Literal(identifier))
        return document

    def _add_score(self, subject: "rdflib.URIRef", score: float | None) -> None:
        if score is not None:
            # A decimal keeps all digits; the serialiser of Turtle rounds a double.
            digits = format(Decimal(repr(score)), "f")
            decimal = self.rdflib.namespace.XSD.decimal
            self._add(subject, self.terms.score, self.rdflib.Literal(digits, datatype=decimal))

    def _add(
        self,
        subject: "rdflib.URIRef",
        predicate: "rdflib.URIRef",
        value: "rdflib.URIRef | rdflib.Literal",
    ) -> None:
        self.graph.add((subject, predicate, value))

    def _offset(self, offset: int) -> "rdflib.Literal":
        datatype = self.rdflib.namespace.XSD.nonNegativeInteger
        return self.rdflib.Literal(offset, datatype=datatype)

    def _name_entity(self, mention: EntityMention) -> "rdflib.URIRef":
        return self._name("entity", make_id(*self.key(mention)))

    def _name_mention(self, mention: EntityMention) -> "rdflib.URIRef":
        place = mention.document, mention.start, mention.end, mention.label
        return self._name("mention", make_id(*place))

    def _name(self, kind: str, name: str) -> "rdflib.URIRef":
        """Return the IRI of a thing; all but ASCII letters, digits, "_", "-" and "~" is escaped."""
        escaped = quote(name, safe="").replace(".", "%2E")
        return self.rdflib.URIRef(f"{self.base}{kind}/{escaped}")


def _import_rdflib() -> ModuleType:
    try:
        import rdflib
    except ImportError as err:
        raise ImportError(
            f'RDF needs rdflib ({err}). Install it with: pip install "spacy-tabcnn[graph]"'
        ) from err
    return rdflib
